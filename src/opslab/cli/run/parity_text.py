"""The comparison of a paper run with another run, as `tc run compare` prints it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from opslab.cli.output import result, result_fields, result_table

if TYPE_CHECKING:
    from opslab.model.checks.parity import BarsParity, Decision, DecisionDifference, FillDifference, Parity

SHOWN = 20
SHOWN_CHARACTERS = 60
"""Maximum number of lines of one kind; `--json` has more."""
_LEFT_OUT = {
    "at_missing_bars": "at bars that the other run missed",
    "outside_window": "outside the compared window",
    "lab_orders": "created to end the run",
    "before_first_bar": "created before the first bar, of runs with different starts",
}
_BEFORE = "before the first"
_TERMS = ("side", "type", "quantity", "price", "trigger_price", "time_in_force", "reduce_only", "post_only")


def show_parity(found: "Parity") -> None:
    result("")
    span = f"{found.first_bar} to {found.last_bar}" if found.first_bar and found.last_bar else None
    left_out = [f"{count:,} {_LEFT_OUT[name]}" for name, count in found.decisions.left_out if count]
    result_fields(
        [
            ("compared", span),
            *((f"bars of {bars.run}", f"{bars.outcome}: {bars.message}") for bars in found.bars),
            ("decisions", f"{found.decisions.outcome}: {found.decisions.message}"),
            ("left out", ", ".join(left_out) or None),
            ("fills", f"{found.fills.outcome}: {found.fills.message}"),
        ]
    )
    for bars in found.bars:
        _show_bars(bars)
    if found.decisions.first:
        _show_decision(found.decisions.first)
    _show_fills(found.fills.differences, found.fills.outcome == "unexplained")


def _show_bars(bars: "BarsParity") -> None:
    if bars.missing_ranges:
        result(f"\nmissing bars of {bars.run}, by close time")
        rows = [(f"  {each.first}", each.last, f"{each.bars:,}") for each in bars.missing_ranges[:SHOWN]]
        result_table(("  FIRST", "LAST", "BARS"), rows, right=(2,))
        _more(len(bars.missing_ranges))
    if bars.first:
        result(f"\nfirst bar of {bars.run} with other values: {bars.first.bar}")
        rows = [(f"  {each.field}", each.before or "-", each.after or "-") for each in bars.first.differences]
        result_table(("  FIELD", "CANDLE", "SEEN"), rows)


def _show_decision(first: "DecisionDifference") -> None:
    position = f"at the bar of {first.bar}" if first.bar else f"{_BEFORE} bar"
    result(f"\nfirst differing decision: number {first.number:,}, {position}")
    for name, decision in (("a", first.a), ("b", first.b)):
        result(f"  {name}: {_decision(decision)}")


def _decision(decision: "Decision | None") -> str:
    if decision is None:
        return "no such order"
    values = {name: getattr(decision, name) for name in _TERMS}
    terms = [f"{name} {value}" for name, value in values.items() if value not in (None, False)]
    return f"{decision.client_order_id}: {', '.join(terms)}"


def _show_fills(found: "Sequence[FillDifference]", unexplained: bool) -> None:
    """All unexplained differences, or else one example of each kind."""
    if not found:
        return
    listed = [each for each in found if each.cause == "unexplained"] if unexplained else _examples(found)
    result("\nunexplained differences of fills" if unexplained else "\ndiffering fills, one of each kind")
    rows = [
        (f"  {each.bar[:16] or _BEFORE}", each.field, _cell(each.before), _cell(each.after), each.cause, each.detail)
        for each in listed[:SHOWN]
    ]
    result_table(("  BAR", "FIELD", "A", "B", "CAUSE", "DETAIL"), rows)
    _more(len(listed))


def _cell(text: str | None) -> str:
    if text is None:
        return "-"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _examples(found: "Sequence[FillDifference]") -> "list[FillDifference]":
    kinds: dict[tuple[str, str], FillDifference] = {}
    for each in found:
        kinds.setdefault((each.field, each.cause), each)
    return list(kinds.values())


def _more(count: int) -> None:
    if count > SHOWN:
        result(f"  and {count - SHOWN:,} more; --json has more of them")
