"""Live snapshots: a difference must be seen twice, and what is in flight has its grace."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.reconciliation.confirmation import (
    Aggregate,
    InFlight,
    PendingDifferences,
    TimeTolerances,
    give_up,
    in_flight,
    look,
)
from opslab.reconciliation.result import ReconciliationFinding
from tests.unit.reconciliation.accounts import INSTRUMENT, Document, compared, state, whole, with_value, without

S = 1_000_000_000
PATIENCE = TimeTolerances(grace_ns=5 * S, gap_ns=1 * S)
QUANTITY = ("positions", 0, "signed_quantity")


class StrategyRecorder:
    """Looks one after the other."""

    def __init__(self) -> None:
        self.looks = PendingDifferences()

    def see(self, at_s: float, observed: Document, *moving: InFlight, expected: Document | None = None) -> str:
        findings = compared(expected or whole(), observed)
        self.looks, self.found = look(self.looks, findings, moving, int(at_s * S), PATIENCE)
        return state(self.found)

    @property
    def told(self) -> list[ReconciliationFinding]:
        return [one for one in self.found if one.state != "ok"]


def order(since_s: float, client_order_id: str = "A-1") -> InFlight:
    return InFlight("order", INSTRUMENT, client_order_id, int(since_s * S))


def fill(since_s: float) -> InFlight:
    return InFlight("fill", INSTRUMENT, "A-1", int(since_s * S))


OFF = with_value(QUANTITY, "0.007")


def test_a_difference_is_pending_at_first_sight_and_a_mismatch_at_the_second() -> None:
    watch = StrategyRecorder()
    assert watch.see(10, OFF) == "warning"
    (first,) = watch.told
    assert (first.reason, first.first_comparison) == ("pending", None)
    assert watch.see(12, with_value(QUANTITY, "0.009")) == "mismatch"
    (second,) = watch.told
    assert second.reason == "differs"
    assert (second.expected, second.observed, second.difference) == ("0.005", "0.009", "0.004")
    kept = second.first_comparison
    assert kept
    assert (kept.age_seconds, kept.expected, kept.observed, kept.difference) == ("2", "0.005", "0.007", "0.002")
    assert watch.see(13, OFF) == "mismatch"


def test_a_difference_that_went_away_begins_anew() -> None:
    watch = StrategyRecorder()
    assert [watch.see(10, OFF), watch.see(12, whole()), watch.see(14, OFF), watch.see(16, OFF)] == [
        "warning",
        "ok",
        "warning",
        "mismatch",
    ]


def test_two_looks_at_nearly_one_instant_are_one() -> None:
    watch = StrategyRecorder()
    assert [watch.see(10, OFF), watch.see(10, OFF), watch.see(10.9, OFF), watch.see(11, OFF)] == [
        "warning",
        "warning",
        "warning",
        "mismatch",
    ]


def test_another_field_of_the_same_order_is_another_difference() -> None:
    watch = StrategyRecorder()
    watch.see(10, with_value(("open_orders", 0, "price"), "1"))
    assert watch.see(12, with_value(("open_orders", 0, "status"), "ACCEPTED")) == "warning"


def test_a_look_that_could_not_see_neither_clears_nor_confirms() -> None:
    watch = StrategyRecorder()
    assert watch.see(10, OFF) == "warning"
    assert watch.see(12, without(("positions",))) == "unknown"
    assert watch.see(14, with_value(QUANTITY, "NaN")) == "unknown"
    assert watch.see(16, OFF) == "mismatch"


def test_a_field_that_was_seen_to_agree_is_cleared_though_its_neighbour_is_unknown() -> None:
    watch = StrategyRecorder()
    watch.see(10, with_value(("open_orders", 0, "price"), "1"))
    assert watch.see(12, with_value(("open_orders", 0, "quantity"), "NaN")) == "unknown"
    assert watch.see(14, with_value(("open_orders", 0, "price"), "1")) == "warning"


def test_what_is_in_flight_has_its_grace_and_no_more() -> None:
    watch = StrategyRecorder()
    assert watch.see(10, OFF, fill(9)) == "warning"
    assert [one.reason for one in watch.told] == ["in_flight"]
    assert watch.see(13.9, OFF, fill(9)) == "warning"
    assert [one.reason for one in watch.told] == ["in_flight"]
    assert watch.see(14, OFF, fill(9)) == "warning"
    assert [one.reason for one in watch.told] == ["pending"]
    assert watch.see(15, OFF) == "mismatch"


def test_an_excuse_is_not_renewed_by_what_comes_later() -> None:
    watch = StrategyRecorder()
    states = [watch.see(at, OFF, order(at - 0.1)) for at in range(10, 20)]
    assert states.index("mismatch") <= 6
    assert set(states[states.index("mismatch") :]) == {"mismatch"}


def test_an_order_in_flight_excuses_its_own_row_the_position_and_the_balances_only() -> None:
    watch = StrategyRecorder()
    both = with_value(("open_orders", 0, "status"), "ACCEPTED")
    both["open_orders"][1]["status"] = "PENDING_CANCEL"
    both["positions"] = []
    both["balances"][0] = {"asset": "USDT", "total": "99", "free": "89", "locked": "10"}
    watch.see(10, both, order(9, "A-1"))
    assert {(one.subject, one.field): one.reason for one in watch.told} == {
        ("A-1", "status"): "in_flight",
        ("A-2", "status"): "pending",
        (INSTRUMENT, "signed_quantity"): "in_flight",
        ("USDT", "total"): "in_flight",
        ("USDT", "free"): "in_flight",
    }


def test_what_is_old_or_of_the_future_excuses_nothing() -> None:
    for since in (4.9, 5, 11):
        watch = StrategyRecorder()
        watch.see(10, OFF, fill(since))
        assert [one.reason for one in watch.told] == ["pending"]


def test_what_is_in_flight_is_listed_while_it_is_young() -> None:
    listed = in_flight([order(9.5), fill(7), order(2, "old"), order(11, "early")], 10 * S, PATIENCE)
    assert [(one.kind, one.client_order_id, one.age_seconds) for one in listed] == [
        ("fill", "A-1", "3"),
        ("order", "A-1", "0.5"),
    ]


def test_unknowns_pass_through_as_they_are() -> None:
    watch = StrategyRecorder()
    assert watch.see(10, without(("balances",)), fill(9)) == "unknown"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["same", "off", "blind"]), st.booleans()), max_size=12))
def test_a_mismatch_is_never_told_of_at_first_sight_nor_kept_back_for_ever(steps: Any) -> None:
    watch, first_s, now_s = StrategyRecorder(), None, 0
    observed = {"same": whole(), "off": OFF, "blind": without(("positions",))}
    for kind, moves in steps:
        now_s += 2
        found = watch.see(now_s, observed[kind], *([order(now_s - 0.5)] if moves else []))
        if kind == "off":
            first_s = now_s if first_s is None else first_s
        elif kind == "same":
            first_s = None
        if found == "mismatch":
            assert kind == "off"
            assert first_s is not None
            assert now_s > first_s
        elif kind == "off" and first_s is not None:
            assert found == "warning"
        assert found != "ok" or kind == "same"
    for _ in range(6):  # and if it stays, it comes out
        now_s += 2
        last = watch.see(now_s, OFF, order(now_s - 0.5))
    assert last == "mismatch"


class Live:
    """Looks at one quantity of a node and its venue."""

    def __init__(self) -> None:
        self.looks = PendingDifferences()

    def see(self, at_s: float, expected: str, observed: str, moved_s: float = 0, *, settled: bool = True) -> str:
        found = [one for one in compared(at(expected), at(observed)) if one.field == "signed_quantity"]
        whole = Aggregate(expected, observed, int(moved_s * S), settled)
        self.looks, judged = look(self.looks, found, (), int(at_s * S), PATIENCE, lambda _found: whole)
        (self.found,) = judged
        return self.found.reason


def at(quantity: str) -> Document:
    return with_value(QUANTITY, quantity)


def test_what_the_venue_did_just_now_has_its_grace_once() -> None:
    live = Live()
    seen = [live.see(at_s, "0.005", "0.007", moved_s=9.5) for at_s in (10, 14.4, 14.5, 15.4, 15.5)]
    assert seen == ["in_flight", "in_flight", "pending", "pending", "differs"]


def test_a_look_at_a_venue_that_moves_confirms_nothing_and_clears_nothing() -> None:
    live = Live()
    seen = [live.see(10, "0.005", "0.007"), live.see(12, "0.005", "0.007", settled=False)]
    assert [*seen, live.see(13, "0.005", "0.007"), live.see(13.1, "0.005", "0.007", settled=False)] == [
        "pending",
        "pending",
        "differs",
        "differs",
    ]


def test_a_difference_of_which_both_sides_moved_on_begins_anew() -> None:
    live = Live()
    steps = [("0.005", "0.007"), ("0.006", "0.007"), ("0.007", "0.010"), ("0.010", "0.011"), ("0.012", "0.015")]
    seen = [live.see(10 + 2 * number, *step) for number, step in enumerate(steps)]
    assert seen == ["pending", "differs", "in_flight", "in_flight", "in_flight"]
    given = give_up(live.looks, [live.found], 12 * S)
    assert [(one.reason, one.state) for one in given] == [("moving", "unknown")]
    assert give_up(live.looks, [live.found], 9 * S) == [live.found]


def test_a_distance_that_stays_while_both_move_needs_many_looks() -> None:
    live = Live()
    seen = [live.see(10 + number, f"0.00{number + 1}", f"0.00{number + 3}") for number in range(6)]
    assert seen == ["pending", "pending", "pending", "pending", "differs", "differs"]


def test_a_node_that_hears_nothing_any_more_is_found_out_though_its_venue_goes_on() -> None:
    live = Live()
    seen = [live.see(10 + number, "0.001", f"0.00{number + 3}", moved_s=10 + number) for number in range(7)]
    assert seen == ["in_flight"] * 5 + ["pending", "differs"]


def test_one_field_that_agrees_by_chance_does_not_clear_what_it_is_part_of() -> None:
    findings = [one for one in compared(whole(), OFF) if one.field == "signed_quantity"]
    money = Aggregate("node", "venue")
    looks, _ = look(PendingDifferences(), findings, (), 10 * S, PATIENCE, lambda _found: money)
    looks, _ = look(looks, [], (), 11 * S, PATIENCE, lambda _found: money, {"positions": money})
    looks, judged = look(looks, findings, (), 16 * S, PATIENCE, lambda _found: money)
    assert [one.reason for one in judged] == ["in_flight"]
    assert [one.reason for one in give_up(looks, judged, 10 * S)] == ["moving"]
