"""A drill as text."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from opslab.cli.output import result, result_fields, result_table

if TYPE_CHECKING:
    from opslab.model.checks.drill import Check, DrillRecord, Judgement


def show_record(record: "DrillRecord", judgement: "Judgement", run_id: str) -> None:
    """Verdict, times, and the checks of both passes side by side."""
    result_fields(_fields(record, judgement, run_id))
    result("")
    result_table(("CHECK", "WITHOUT", "WITH THE FAULT", "LINE", "EVIDENCE"), list(_rows(judgement.checks)), right=(3,))


def _fields(record: "DrillRecord", judgement: "Judgement", run_id: str) -> Iterator[tuple[str, Any]]:
    yield "drill", record.definition.name
    yield "verdict", judgement.verdict
    yield "status", record.status if record.reason is None else f"{record.status}: {record.reason}"
    yield "first deviation", judgement.deviated_at
    for times in judgement.times:
        yield f"{times.step}", _times(times.detect_seconds, times.act_seconds, times.recover_seconds)
    for limit in judgement.engine_limits:
        yield "known limit", f"{limit.name}: {limit.what} ({limit.upstream})"
    yield "run without", record.control.run_id if record.control else None
    yield "run with", record.fault.run_id if record.fault else None
    yield "record", f"artifacts/runs/{run_id}/drills/{record.definition.name}.json"


def _times(detect: float | None, act: float | None, recover: float | None) -> str:
    parts = [("detected after", detect), ("acted after", act), ("recovered after", recover)]
    known = [f"{name} {seconds:.3f} s" for name, seconds in parts if seconds is not None]
    return ", ".join(known) or "not detected"


def _rows(checks: "tuple[Check, ...]") -> Iterator[tuple[str, str, str, str, str]]:
    control = {each.name: each for each in checks if each.pass_kind == "control"}
    fault = {each.name: each for each in checks if each.pass_kind == "fault"}
    for name in dict.fromkeys([*control, *fault]):
        without, with_fault = control.get(name), fault.get(name)
        shown = with_fault or without
        assert shown
        if without and without.verdict != "pass":
            shown = without
        yield (
            name,
            without.verdict if without else "",
            (f"{with_fault.verdict} (limit)" if with_fault.limit else with_fault.verdict) if with_fault else "",
            str(shown.seq or ""),
            shown.text,
        )
