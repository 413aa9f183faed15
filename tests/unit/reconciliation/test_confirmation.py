"""Live snapshots: a mismatch needs two comparisons, and what is in flight has its grace time."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.reconciliation.confirmation import (
    Aggregate,
    InFlight,
    PendingDifferences,
    TimeTolerances,
    confirm,
    in_flight_items,
    mark_moving,
)
from opslab.reconciliation.result import Part, ReconciliationFinding
from tests.fakes.snapshot_documents import (
    INSTRUMENT,
    Document,
    compare_documents,
    complete_document,
    document_with,
    document_without,
    state_of,
)

SECOND_NS = 1_000_000_000
TOLERANCES = TimeTolerances(grace_ns=5 * SECOND_NS, min_interval_ns=1 * SECOND_NS)
QUANTITY = ("positions", 0, "signed_quantity")


class Comparisons:
    """Compares one pair of documents after the other."""

    def __init__(self) -> None:
        self.pending = PendingDifferences()

    def compare(self, at_s: float, observed: Document, *in_flight: InFlight, expected: Document | None = None) -> str:
        findings = compare_documents(expected or complete_document(), observed)
        self.pending, self.findings = confirm(self.pending, findings, in_flight, int(at_s * SECOND_NS), TOLERANCES)
        return state_of(self.findings)

    @property
    def problems(self) -> list[ReconciliationFinding]:
        return [finding for finding in self.findings if finding.state != "ok"]


def order(since_s: float, client_order_id: str = "A-1") -> InFlight:
    return InFlight("order", INSTRUMENT, client_order_id, int(since_s * SECOND_NS))


def fill(since_s: float) -> InFlight:
    return InFlight("fill", INSTRUMENT, "A-1", int(since_s * SECOND_NS))


DIFFERENT = document_with(QUANTITY, "0.007")


def test_a_difference_is_pending_after_one_comparison_and_a_mismatch_after_two() -> None:
    comparisons = Comparisons()
    assert comparisons.compare(10, DIFFERENT) == "warning"
    (first,) = comparisons.problems
    assert (first.reason, first.first_comparison) == ("pending", None)
    assert comparisons.compare(12, document_with(QUANTITY, "0.009")) == "mismatch"
    (second,) = comparisons.problems
    assert second.reason == "differs"
    assert (second.expected, second.observed, second.difference) == ("0.005", "0.009", "0.004")
    earlier = second.first_comparison
    assert earlier
    assert (earlier.age_seconds, earlier.expected, earlier.observed, earlier.difference) == (
        "2",
        "0.005",
        "0.007",
        "0.002",
    )
    assert comparisons.compare(13, DIFFERENT) == "mismatch"


def test_a_difference_that_disappeared_starts_again() -> None:
    comparisons = Comparisons()
    assert [
        comparisons.compare(10, DIFFERENT),
        comparisons.compare(12, complete_document()),
        comparisons.compare(14, DIFFERENT),
        comparisons.compare(16, DIFFERENT),
    ] == [
        "warning",
        "ok",
        "warning",
        "mismatch",
    ]


def test_two_comparisons_closer_than_the_minimum_interval_count_as_one() -> None:
    comparisons = Comparisons()
    assert [
        comparisons.compare(10, DIFFERENT),
        comparisons.compare(10, DIFFERENT),
        comparisons.compare(10.9, DIFFERENT),
        comparisons.compare(11, DIFFERENT),
    ] == [
        "warning",
        "warning",
        "warning",
        "mismatch",
    ]


def test_another_field_of_the_same_order_is_another_difference() -> None:
    comparisons = Comparisons()
    comparisons.compare(10, document_with(("open_orders", 0, "price"), "1"))
    assert comparisons.compare(12, document_with(("open_orders", 0, "status"), "ACCEPTED")) == "warning"


def test_a_comparison_that_cannot_judge_neither_clears_nor_confirms() -> None:
    comparisons = Comparisons()
    assert comparisons.compare(10, DIFFERENT) == "warning"
    assert comparisons.compare(12, document_without(("positions",))) == "unknown"
    assert comparisons.compare(14, document_with(QUANTITY, "NaN")) == "unknown"
    assert comparisons.compare(16, DIFFERENT) == "mismatch"


def test_a_field_that_agrees_is_cleared_although_another_field_is_unknown() -> None:
    comparisons = Comparisons()
    comparisons.compare(10, document_with(("open_orders", 0, "price"), "1"))
    assert comparisons.compare(12, document_with(("open_orders", 0, "quantity"), "NaN")) == "unknown"
    assert comparisons.compare(14, document_with(("open_orders", 0, "price"), "1")) == "warning"


def test_an_order_in_flight_excuses_a_difference_for_the_grace_time_only() -> None:
    comparisons = Comparisons()
    assert comparisons.compare(10, DIFFERENT, fill(9)) == "warning"
    assert [finding.reason for finding in comparisons.problems] == ["in_flight"]
    assert comparisons.compare(13.9, DIFFERENT, fill(9)) == "warning"
    assert [finding.reason for finding in comparisons.problems] == ["in_flight"]
    assert comparisons.compare(14, DIFFERENT, fill(9)) == "warning"
    assert [finding.reason for finding in comparisons.problems] == ["pending"]
    assert comparisons.compare(15, DIFFERENT) == "mismatch"


def test_later_orders_in_flight_do_not_renew_the_excuse() -> None:
    comparisons = Comparisons()
    states = [comparisons.compare(at, DIFFERENT, order(at - 0.1)) for at in range(10, 20)]
    assert states.index("mismatch") <= 6
    assert set(states[states.index("mismatch") :]) == {"mismatch"}


def test_an_order_in_flight_excuses_only_its_own_row_the_position_and_the_balances() -> None:
    comparisons = Comparisons()
    both = document_with(("open_orders", 0, "status"), "ACCEPTED")
    both["open_orders"][1]["status"] = "PENDING_CANCEL"
    both["positions"] = []
    both["balances"][0] = {"asset": "USDT", "total": "99", "free": "89", "locked": "10"}
    comparisons.compare(10, both, order(9, "A-1"))
    assert {(finding.subject, finding.field): finding.reason for finding in comparisons.problems} == {
        ("A-1", "status"): "in_flight",
        ("A-2", "status"): "pending",
        (INSTRUMENT, "signed_quantity"): "in_flight",
        ("USDT", "total"): "in_flight",
        ("USDT", "free"): "in_flight",
    }


def test_an_old_or_future_fill_excuses_nothing() -> None:
    for since in (4.9, 5, 11):
        comparisons = Comparisons()
        comparisons.compare(10, DIFFERENT, fill(since))
        assert [finding.reason for finding in comparisons.problems] == ["pending"]


def test_items_in_flight_are_listed_within_the_grace_time() -> None:
    listed = in_flight_items([order(9.5), fill(7), order(2, "old"), order(11, "early")], 10 * SECOND_NS, TOLERANCES)
    assert [(item.kind, item.client_order_id, item.age_seconds) for item in listed] == [
        ("fill", "A-1", "3"),
        ("order", "A-1", "0.5"),
    ]


def test_unknown_findings_stay_unchanged() -> None:
    comparisons = Comparisons()
    assert comparisons.compare(10, document_without(("balances",)), fill(9)) == "unknown"


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["equal", "different", "missing"]), st.booleans()), max_size=12))
def test_a_mismatch_needs_two_comparisons_and_is_reported_in_bounded_time(steps: Any) -> None:
    comparisons, first_s, now_s = Comparisons(), None, 0
    observed = {"equal": complete_document(), "different": DIFFERENT, "missing": document_without(("positions",))}
    for kind, has_order_in_flight in steps:
        now_s += 2
        state = comparisons.compare(now_s, observed[kind], *([order(now_s - 0.5)] if has_order_in_flight else []))
        if kind == "different":
            first_s = now_s if first_s is None else first_s
        elif kind == "equal":
            first_s = None
        if state == "mismatch":
            assert kind == "different"
            assert first_s is not None
            assert now_s > first_s
        elif kind == "different" and first_s is not None:
            assert state == "warning"
        assert state != "ok" or kind == "equal"
    for _ in range(6):  # a difference that stays becomes a mismatch
        now_s += 2
        last = comparisons.compare(now_s, DIFFERENT, order(now_s - 0.5))
    assert last == "mismatch"


class LiveQuantity:
    """Compares one quantity of a node and its venue."""

    def __init__(self) -> None:
        self.pending = PendingDifferences()

    def compare(
        self, at_s: float, expected: str, observed: str, changed_s: float = 0, *, is_at_rest: bool = True
    ) -> str:
        findings = quantity_findings(with_quantity(expected), with_quantity(observed))
        aggregate = Aggregate(expected, observed, int(changed_s * SECOND_NS), is_at_rest)
        self.pending, judged = confirm(
            self.pending, findings, (), int(at_s * SECOND_NS), TOLERANCES, lambda _finding: aggregate
        )
        (self.finding,) = judged
        return self.finding.reason


def with_quantity(quantity: str) -> Document:
    return document_with(QUANTITY, quantity)


def quantity_findings(expected: Document, observed: Document) -> list[ReconciliationFinding]:
    return [finding for finding in compare_documents(expected, observed) if finding.field == "signed_quantity"]


def test_a_recent_change_at_the_venue_has_its_grace_time_once() -> None:
    live = LiveQuantity()
    reasons = [live.compare(at_s, "0.005", "0.007", changed_s=9.5) for at_s in (10, 14.4, 14.5, 15.4, 15.5)]
    assert reasons == ["in_flight", "in_flight", "pending", "pending", "differs"]


def test_a_comparison_with_a_moving_venue_neither_confirms_nor_clears() -> None:
    live = LiveQuantity()
    reasons = [
        live.compare(10, "0.005", "0.007"),
        live.compare(12, "0.005", "0.007", is_at_rest=False),
        live.compare(13, "0.005", "0.007"),
        live.compare(13.1, "0.005", "0.007", is_at_rest=False),
    ]
    assert reasons == ["pending", "pending", "differs", "differs"]


def test_a_difference_of_which_both_sides_changed_starts_again() -> None:
    live = LiveQuantity()
    steps = [("0.005", "0.007"), ("0.006", "0.007"), ("0.007", "0.010"), ("0.010", "0.011"), ("0.012", "0.015")]
    reasons = [live.compare(10 + 2 * number, *step) for number, step in enumerate(steps)]
    assert reasons == ["pending", "differs", "in_flight", "in_flight", "in_flight"]
    marked = mark_moving(live.pending, [live.finding], 12 * SECOND_NS)
    assert [(finding.reason, finding.state) for finding in marked] == [("moving", "unknown")]
    assert mark_moving(live.pending, [live.finding], 9 * SECOND_NS) == [live.finding]


def test_a_constant_distance_while_both_sides_change_needs_the_minimum_of_confirmations() -> None:
    live = LiveQuantity()
    reasons = [live.compare(10 + number, f"0.00{number + 1}", f"0.00{number + 3}") for number in range(6)]
    assert reasons == ["pending", "pending", "pending", "pending", "differs", "differs"]


def test_a_node_that_receives_nothing_is_a_mismatch_although_its_venue_continues() -> None:
    live = LiveQuantity()
    reasons = [live.compare(10 + number, "0.001", f"0.00{number + 3}", changed_s=10 + number) for number in range(7)]
    assert reasons == ["in_flight"] * 5 + ["pending", "differs"]


def test_one_field_that_agrees_by_chance_does_not_clear_its_aggregate() -> None:
    findings = quantity_findings(complete_document(), DIFFERENT)
    holdings = Aggregate("node", "venue")

    def compare(
        pending: PendingDifferences, new: list[ReconciliationFinding], at_s: int, *, differs: bool = False
    ) -> tuple[PendingDifferences, list[ReconciliationFinding]]:
        parts: dict[Part, Aggregate] | None = {"positions": holdings} if differs else None
        return confirm(pending, new, (), at_s * SECOND_NS, TOLERANCES, lambda _finding: holdings, parts)

    pending, _ = compare(PendingDifferences(), findings, 10)
    pending, _ = compare(pending, [], 11, differs=True)
    pending, judged = compare(pending, findings, 16)
    assert [finding.reason for finding in judged] == ["in_flight"]
    assert [finding.reason for finding in mark_moving(pending, judged, 10 * SECOND_NS)] == ["moving"]
