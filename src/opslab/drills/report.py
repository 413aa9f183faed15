"""The report of a drill: both passes side by side, as Markdown."""

from collections.abc import Iterator

from opslab.model.checks.drill import Check, DrillRecord


def markdown(record: DrillRecord) -> str:
    return "\n".join(_lines(record)) + "\n"


def _lines(record: DrillRecord) -> Iterator[str]:
    definition, judgement = record.definition, record.judgement
    yield f"# Drill {definition.name}"
    yield ""
    yield definition.hypothesis
    yield ""
    yield from _table(
        ("", ""),
        [
            ("verdict", judgement.verdict),
            ("status", record.status if record.reason is None else f"{record.status}: {record.reason}"),
            ("first deviation", judgement.deviated_at or "none"),
            ("began", record.started_at),
            ("ended", record.ended_at),
            ("run without the fault", record.control.run_id if record.control else "none"),
            ("run with the fault", record.fault.run_id if record.fault else "none"),
            ("lab", record.lab_version),
            ("engine", record.engine_version or "unknown"),
        ],
    )
    yield "## Times"
    yield ""
    yield "Seconds, with the limit. Lines are those of the journal of the run with the fault."
    yield ""
    bounds = {step.name: step.bounds for step in definition.steps}
    yield from _table(
        ("step", "injected", "line", "detected after", "line", "acted after", "line", "recovered after", "line"),
        [
            (
                times.step,
                times.injected_at or "",
                _text(times.injected_seq),
                _seconds(times.detect_seconds, bounds[times.step].detect),
                _text(times.detected_seq),
                _seconds(times.act_seconds, bounds[times.step].act),
                _text(times.acted_seq),
                _seconds(times.recover_seconds, bounds[times.step].recover),
                _text(times.recovered_seq),
            )
            for times in judgement.times
        ],
    )
    yield "## Checks"
    yield ""
    yield from _table(("check", "without the fault", "with the fault"), list(_side_by_side(judgement.checks)))
    if judgement.engine_limits:
        yield "## Known limits of the engine"
        yield ""
        yield from _table(
            ("limit", "what it is", "upstream"),
            [(limit.name, limit.what, limit.upstream) for limit in judgement.engine_limits],
        )


def _side_by_side(checks: tuple[Check, ...]) -> Iterator[tuple[str, str, str]]:
    rows: dict[str, dict[str, str]] = {}
    for each in checks:
        line = f" (line {each.seq})" if each.seq else ""
        limit = f"; known limit {each.limit}" if each.limit else ""
        rows.setdefault(each.name, {})[each.pass_kind] = f"{each.verdict}: {each.text}{limit}{line}"
    for name, cells in rows.items():
        yield name, cells.get("control", ""), cells.get("fault", "")


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{' --- |' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""


def _seconds(value: float | None, bound: float | None) -> str:
    if value is None:
        return "never" if bound is not None else ""
    return f"{value:.3f}{f' of {bound:g}' if bound is not None else ''}"


def _text(value: int | None) -> str:
    return "" if value is None else str(value)
