"""`tc run compare` and `tc run reproduce`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from opslab.cli.options import Home, Json
from opslab.cli.output import note, note_at_once, result, result_fields, result_json, result_table
from opslab.cli.run.parity_text import show_parity

if TYPE_CHECKING:
    from opslab.lab.run.reproduce import BacktestPlan
    from opslab.model.checks.comparison import Comparison, FirstDifference, InputPart, WarningPair
    from opslab.model.primitives.difference import Difference

EXIT_CODES = {"pass": 0, "fail": 1, "unknown": 3}
INTERRUPTED = 130
_SHOWN = 20
"""Maximum number of listed differences of one part; `--json` has all."""
_SHOWN_CHARACTERS = 60
_DIGEST_CHARACTERS = 19


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Name of a run.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="Name of the other run.", show_default=False)],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Compare the inputs and results of two runs.

    Names the differing inputs, whether the results differ, and the first differing event. For a paper run: whether its
    bars and decisions are the same, and why fills differ.
    """
    from opslab.lab.context import open_context
    from opslab.lab.run import compare as comparison

    found = comparison.compare(open_context(home), a, b)
    if as_json:
        result_json(found.model_dump(mode="json"))
    else:
        _show(found)
    raise typer.Exit(comparison.EXIT_CODES[found.results])


def reproduce(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="Name of a completed backtest.", show_default=False)],
    times: Annotated[int, typer.Option("--times", metavar="N", min=1, max=10_000, help="Number of repetitions.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Also keep repetitions that agree.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Repeat a run and compare the result digests.

    The run is repeated from its stored inputs.
    """
    from opslab.cli.progress import ProgressBar
    from opslab.lab.context import open_context
    from opslab.lab.run import reproduce as repetition
    from opslab.system import StopSignals

    def announce(number: int, plan: "BacktestPlan", parts: "list[InputPart]") -> None:
        if number == 1:
            for part in parts:
                note(f"changed since the run: {part.part}: {'; '.join(_short(each) for each in part.differences[:3])}")
        progress.restart(f"{number} of {times}", plan.engine.rows)

    context, options = open_context(home), repetition.ReproduceOptions(run_id, times, keep)
    with StopSignals() as signals, ProgressBar("reproduce", "bars") as progress:
        signals.announce = _announce
        found = repetition.reproduce(context, options, signals, progress.reach, announce)
        stopped = signals.name
    if as_json:
        result_json(found.model_dump(mode="json"))
    else:
        result_fields(
            [
                ("run", found.run_id),
                ("verdict", found.verdict),
                ("agreed", f"{found.agreed} of {found.repeated}"),
                ("inputs", "unchanged" if found.inputs == "same" else "changed: " + _names(found.parts)),
                ("result digest", found.result_digest),
            ]
        )
        kept = [one for one in found.repetitions if one.kept]
        if kept:
            result("")
            rows = [
                (one.run_id, one.status, "same" if one.same else "differs", one.result_digest or "") for one in kept
            ]
            result_table(("KEPT", "STATUS", "RESULT", "RESULT DIGEST"), rows)
        if found.comparison:
            result("")
            _show(found.comparison)
    raise typer.Exit(INTERRUPTED if stopped else EXIT_CODES[found.verdict])


def _show(found: "Comparison") -> None:
    with_warnings = f"; warnings: {', '.join(each.code for each in found.warnings)}" if found.warnings else ""
    results = f"{found.results}: {found.message}{with_warnings}"
    result_fields([("a", found.a), ("b", found.b), ("inputs", found.inputs), ("results", results)])
    if found.warnings:
        _show_warnings(found.warnings)
    for part in found.parts:
        _table(f"input: {part.part}", part.differences)
    if found.counters:
        _table("counters", found.counters)
    if found.first:
        _show_first(found.first)
    if found.parity:
        show_parity(found.parity)


def _show_warnings(found: "tuple[WarningPair, ...]") -> None:
    result("\nwarnings")
    for each in found:
        result(f"  {each.code}{' (equal)' if each.a == each.b else ''}")
        for name, warning in (("a", each.a), ("b", each.b)):
            result(f"    {name}: {warning.line if warning else 'no such warning'}")


def _show_first(first: "FirstDifference") -> None:
    sides = [f"line {place.line}" if place else "no more" for place in (first.a, first.b)]
    result(f"\nfirst difference: number {first.number:,} of {first.file}; a: {sides[0]}, b: {sides[1]}")
    if first.differences:
        _rows(first.differences)
        return
    for name, place in (("a", first.a), ("b", first.b)):
        if place:
            result(f"  {name}: {json.dumps(place.content, ensure_ascii=False)}")


def _table(title: str, found: "tuple[Difference, ...]") -> None:
    result(f"\n{title}")
    _rows(found[:_SHOWN])
    if len(found) > _SHOWN:
        result(f"  and {len(found) - _SHOWN} more; --json has all")


def _rows(found: "tuple[Difference, ...]") -> None:
    rows = [(f"  {each.field}", _cell(each.before), _cell(each.after)) for each in found]
    result_table(("  FIELD", "A", "B"), rows)


def _cell(text: str | None) -> str:
    if text is None:
        return "-"
    if text.startswith("sha256:"):
        return text[:_DIGEST_CHARACTERS]
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _short(each: "Difference") -> str:
    return f"{each.field} was {_cell(each.before)}, is {_cell(each.after)}"


def _names(parts: "tuple[InputPart, ...]") -> str:
    return ", ".join(part.part for part in parts)


def _announce(name: str, count: int) -> None:
    if count == 1:
        note_at_once(f"{name}: ending this repetition and stopping; a second signal kills the engine")
    else:
        note_at_once(f"{name}: killing the engine")
