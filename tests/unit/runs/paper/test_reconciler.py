"""A run's reconciliation: what travels is no mismatch, what is wrong comes out, and what nobody says is not known."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.runs.paper.reconciler import FINAL_NS, PERIODIC_NS, FinishedReconciliation
from tests.fakes.moving_account import (
    NODE_ERRORS,
    Change,
    AccountHistory,
    SimulatedOrder,
    Pace,
    Simulation,
    Step,
    NodeError,
    with_resting_order,
)

STILL = Pace(0, (0, 0))
USUAL = Pace(3, (0.001, 0.02))
SECONDS = 30.0
PACES = [
    STILL,
    USUAL,
    Pace(0.5, (0.001, 0.01)),
    Pace(20, (0.001, 0.02)),
    Pace(60, (0.001, 0.05)),
    Pace(5, (0.1, 0.6)),
    Pace(20, (0.1, 0.6)),
    Pace(1, (0.5, 4.0)),
    Pace(10, (0.5, 4.0)),
    Pace(40, (4.0, 4.5)),
    Pace(3, (1.0, 1.0)),
]
seeds = st.integers(0, 2**32)


def simulate(pace: Pace, seed: int = 0, **more: object) -> Simulation:
    return Simulation(with_resting_order(AccountHistory(seed, pace, SECONDS)), **more)  # type: ignore[arg-type]


def told(finished: FinishedReconciliation) -> list[tuple[str, str, str, str]]:
    found = [one for one in finished.result.findings if one.state != "ok"]
    return [(one.part, one.subject, one.field, one.reason) for one in found]


@pytest.mark.parametrize("occasion", ["startup", "periodic", "final"])
def test_an_account_at_rest_is_ok_at_the_first_look(occasion: str) -> None:
    simulation = simulate(STILL)
    finished = simulation.run(occasion)  # type: ignore[arg-type]
    result = finished.result
    assert (finished.occasion, result.occasion, result.state, result.comparisons) == (occasion, occasion, "ok", 1)
    assert simulation.now_s < 0.02
    assert result.expected.open_orders == result.observed.open_orders == 1
    assert result.not_compared == ("balances.free", "balances.locked")
    assert not [one for one in result.findings if one.field in ("free", "locked")]
    assert result.summary()["occasion"] == occasion


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(PACES), seeds, st.floats(0, 12), st.booleans(), st.sampled_from([0.001, 0.01, 0.08]))
def test_what_travels_is_never_a_mismatch(
    pace: Pace, seed: int, wait_s: float, control_polls: bool, answer_latency_s: float
) -> None:
    simulation = simulate(pace, seed, control_polls=control_polls, answer_latency_s=answer_latency_s)
    simulation.wait(wait_s)
    begun_s = simulation.now_s
    finished = simulation.run("periodic")
    assert finished.result.state != "mismatch", told(finished)
    assert simulation.now_s - begun_s <= PERIODIC_NS / 1e9 + 0.5


@pytest.mark.parametrize("seed", range(40))
def test_a_busy_account_with_a_prompt_node_is_ok_within_a_second(seed: int) -> None:
    simulation = simulate(Pace(20, (0.001, 0.02)), seed)
    simulation.wait(3)
    begun_s = simulation.now_s
    finished = simulation.run("periodic")
    assert finished.result.state == "ok", told(finished)
    assert simulation.now_s - begun_s < 1


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(NODE_ERRORS), st.sampled_from(PACES), seeds, st.booleans())
def test_what_is_wrong_is_never_fine_whatever_else_goes_on(
    node_error: NodeError, pace: Pace, seed: int, control_polls: bool
) -> None:
    simulation = simulate(pace, seed, node_error=node_error, control_polls=control_polls)
    simulation.wait(7)
    finished = simulation.run("periodic")
    assert finished.result.state in ("mismatch", "unknown"), told(finished)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["lost order", "invented order"]), st.sampled_from(PACES), seeds, st.booleans())
def test_an_order_that_is_wrong_is_a_mismatch_within_the_patience_whatever_else_goes_on(
    node_error: NodeError, pace: Pace, seed: int, control_polls: bool
) -> None:
    simulation = simulate(pace, seed, node_error=node_error, control_polls=control_polls)
    simulation.wait(7)
    begun_s = simulation.now_s
    finished = simulation.run("periodic")
    assert finished.result.state == "mismatch", told(finished)
    assert simulation.now_s - begun_s <= PERIODIC_NS / 1e9 + 0.5


@pytest.mark.parametrize("wrong", ["wrong position", "lost fill", "duplicate fill"])
@pytest.mark.parametrize("seed", range(10))
def test_a_position_that_is_wrong_is_a_mismatch_while_the_node_is_prompt(node_error: NodeError, seed: int) -> None:
    simulation = simulate(USUAL, seed, node_error=node_error)
    simulation.wait(7)
    finished = simulation.run("periodic")
    assert finished.result.state == "mismatch", told(finished)


@pytest.mark.parametrize("wrong", NODE_ERRORS)
def test_in_an_account_that_was_at_rest_two_looks_are_enough(node_error: NodeError) -> None:
    simulation = simulate(STILL, node_error=node_error)
    simulation.wait(6)
    begun_s = simulation.now_s
    assert simulation.run("periodic").result.state == "mismatch"
    assert 1 <= simulation.now_s - begun_s < 1.5


@pytest.mark.parametrize(
    ("wrong", "subject", "reason"),
    [
        ("lost order", "x-lab-0", "only_observed"),
        ("invented order", "O-1000000", "only_expected"),
        ("wrong position", "BTCUSDT", "differs"),
        ("wrong wallet", "USDT", "differs"),
    ],
)
def test_it_says_what_is_wrong(node_error: NodeError, subject: str, reason: str) -> None:
    simulation = simulate(STILL, node_error=node_error)
    simulation.wait(6)
    found = simulation.run("periodic").result
    assert {(one.subject, one.reason) for one in found.findings if one.state == "mismatch"} == {(subject, reason)}


@pytest.mark.parametrize("wrong", NODE_ERRORS)
@pytest.mark.parametrize("seed", range(3))
def test_what_goes_wrong_while_looking_comes_out_at_the_next_occasion_at_the_latest(
    node_error: NodeError, seed: int
) -> None:
    simulation = simulate(Pace(1, (0.3, 0.6)), seed, node_error=node_error, error_from_s=2.0)
    simulation.wait(1.99)
    first = simulation.run("periodic").result.state
    simulation.wait(1)
    assert {first, simulation.run("periodic").result.state} & {"mismatch", "unknown"}


def test_the_same_order_is_known_by_the_number_of_the_venue() -> None:
    simulation = simulate(STILL)
    found = simulation.run("periodic").result
    assert {one.subject for one in found.findings if one.part == "open_orders"} == {"O-0"}


def test_an_average_that_was_rounded_is_equal_and_another_is_not() -> None:
    simulation = simulate(STILL)
    simulation.history.venue[:] = [
        state.traded("BUY", Decimal("0.003"), Decimal(60_000)) for state in simulation.history.venue
    ]
    simulation.history.venue[:] = [
        state.traded("BUY", Decimal("0.007"), Decimal("60000.1")) for state in simulation.history.venue
    ]
    simulation.history.venue[:] = [
        state.traded("BUY", Decimal("0.003"), Decimal("60007.7")) for state in simulation.history.venue
    ]
    found = simulation.run("periodic").result
    (price,) = (one for one in found.findings if one.field == "average_entry_price")
    assert (found.state, price.reason, price.tolerance) == ("ok", "within_rounding", "0.0001")


@pytest.mark.parametrize("occasion", ["startup", "periodic", "final"])
def test_a_venue_that_cannot_be_asked_makes_it_unknown(occasion: str) -> None:
    simulation = simulate(STILL)
    simulation.venue_is_up = False
    finished = simulation.run(occasion)  # type: ignore[arg-type]
    assert finished.result.state == "unknown"
    assert {one.reason for one in finished.result.findings} == {"no_answer"}
    assert {one.snapshot for one in finished.result.findings} == {"observed"}
    assert 3 <= simulation.now_s < 3.5
    assert "no_answer in observed" in finished.result.summary()["first_finding"]


def test_a_venue_that_comes_back_is_asked_again() -> None:
    simulation = simulate(STILL)
    simulation.venue_is_up = False
    assert simulation.reconciler.start("periodic")
    assert simulation.reconciler.advance() is None
    simulation.venue_is_up = True
    simulation.now_s += 1
    assert simulation.reconciler.advance() is None
    simulation.now_s += 0.01
    simulation.reconciler.add_node_snapshot(simulation.node_snapshot(simulation.requests, simulation.now_s))
    finished = simulation.reconciler.advance()
    assert finished
    assert finished.result.state == "ok"


def test_a_node_that_does_not_answer_makes_it_unknown() -> None:
    simulation = simulate(STILL)
    simulation.node_is_up = False
    finished = simulation.run("periodic")
    assert finished.result.state == "unknown"
    assert {(one.reason, one.snapshot) for one in finished.result.findings} == {("no_answer", "expected")}
    assert finished.result.observed.digest
    assert finished.result.expected.digest is None
    assert 3 <= simulation.now_s < 3.1


def test_a_node_that_is_gone_is_not_waited_for_until_another_comes() -> None:
    simulation = simulate(STILL)
    simulation.reconciler.node_stopped()
    finished = simulation.run("final")
    assert finished.result.state == "unknown"
    assert simulation.now_s < 0.1
    assert simulation.run("startup").result.state == "ok"


def test_the_answer_to_another_word_is_none() -> None:
    simulation = simulate(STILL)
    assert simulation.reconciler.start("periodic")
    assert simulation.reconciler.advance() is None
    simulation.reconciler.add_node_snapshot(simulation.node_snapshot(simulation.requests + 1, 0.0))
    assert simulation.reconciler.advance() is None


def test_a_periodic_one_waits_its_turn_and_a_final_one_does_not() -> None:
    simulation = simulate(STILL)
    assert simulation.reconciler.start("periodic")
    assert not simulation.reconciler.start("periodic")
    assert simulation.run("final").occasion == "final"
    assert not simulation.reconciler.is_busy


def test_a_node_that_has_ended_is_judged_by_its_last_word() -> None:
    simulation = simulate(STILL)
    simulation.reconciler.add_node_snapshot(simulation.node_snapshot(0, 0.0))
    assert simulation.run("final").result.state == "ok"
    assert simulation.requests == 0


def ended_behind() -> Simulation:
    """An order was filled at 1.1 s; the node had not heard of it when it said its last word at 2.5 s."""
    history = with_resting_order(AccountHistory(0, STILL, SECONDS))
    history.steps.append(Step(1.1, lambda state: state))
    history.at_node.append(9.0)
    history.venue.append(history.venue[0].traded("BUY", Decimal("0.001"), Decimal(60_000)))
    simulation = Simulation(history)
    simulation.wait(2.5)
    simulation.reconciler.add_node_snapshot(simulation.node_snapshot(0, 2.5))
    return simulation


def test_a_last_word_that_the_venue_went_beyond_is_a_mismatch_when_patience_is_over() -> None:
    simulation = ended_behind()
    finished = simulation.run("final")
    assert finished.result.state == "mismatch"
    assert simulation.now_s - 2.5 < FINAL_NS / 1e9


def test_a_final_one_never_ends_pending() -> None:
    for seed in range(5):
        simulation = simulate(Pace(40, (4.0, 4.5)), seed)
        simulation.wait(6)
        finished = simulation.run("final")
        assert "pending" not in {one.reason for one in finished.result.findings}


def test_a_node_whose_orders_are_of_another_price_is_found_by_their_number() -> None:
    simulation = simulate(STILL)
    kept = simulation.node_snapshot(1, 0.0).account.open_orders
    assert kept
    simulation.history.venue[:] = [
        state.opened(SimulatedOrder(0, "BUY", Decimal("0.005"), Decimal(50_001))) for state in simulation.history.venue
    ]
    node = simulation.node_snapshot(0, 0.0)
    off = node.account.model_copy(update={"open_orders": kept})
    simulation.wait(6)
    simulation.reconciler.add_node_snapshot(node.model_copy(update={"account": off}))
    assert told(simulation.run("final")) == [("open_orders", "O-0", "price", "differs")]


@pytest.mark.parametrize("latency_s", [0.4, 1.0, 2.0, 2.5, 4.0])
@pytest.mark.parametrize("hears", [True, False])
def test_a_node_that_is_late_in_step_with_what_goes_on_is_no_mismatch(latency_s: float, control_polls: bool) -> None:
    """Always the same distance: a buy every second, of which the node hears so much later."""
    history = with_resting_order(AccountHistory(0, STILL, SECONDS))
    for number in range(1, int(SECONDS)):
        history.steps.append(Step(float(number), lambda state: state))
        history.at_node.append(number + latency_s)
        history.venue.append(history.venue[-1].traded("BUY", Decimal("0.001"), Decimal(60_000)))
    simulation = Simulation(history, control_polls=control_polls)
    simulation.wait(6.3)
    finished = simulation.run("periodic")
    assert finished.result.state != "mismatch", told(finished)


def written(*steps: tuple[float, float, Change], **more: Any) -> Simulation:
    """An account to which this happened: when at the venue, when the node heard of it, what."""
    history = with_resting_order(AccountHistory(0, STILL, SECONDS))
    for at_s, heard_s, change in steps:
        history.steps.append(Step(at_s, change))
        history.at_node.append(heard_s)
        history.venue.append(change(history.venue[-1]))
    return Simulation(history, **more)


RESTING = SimulatedOrder(7, "SELL", Decimal(1), Decimal(60_100))


def test_an_order_that_came_and_went_between_two_statements_is_not_one_that_was_never_there() -> None:
    simulation = written(
        (5.3, 5.35, lambda state: state.opened(RESTING)),
        (5.6, 9.0, lambda state: state.closed(7)),
    )
    simulation.wait(6.2)
    finished = simulation.run("periodic")
    assert finished.result.state == "ok", told(finished)
    assert 9 < simulation.now_s < 9.5


def test_an_order_that_is_filled_bit_by_bit_is_late_and_no_more_while_the_node_follows() -> None:
    fills = [
        (1 + number / 2, 2.2 + number / 2, lambda state: state.filled(7, Decimal("0.001"))) for number in range(40)
    ]
    simulation = written((0.5, 0.6, lambda state: state.opened(RESTING)), *fills)
    simulation.wait(7.1)
    finished = simulation.run("periodic")
    assert finished.result.state == "warning"
    assert {reason for *_, reason in told(finished)} == {"in_flight"}


def test_what_a_final_one_saw_last_is_not_left_open() -> None:
    trades = [
        (number / 25, 99.0, lambda state: state.traded("BUY", Decimal("0.001"), Decimal(60_000)))
        for number in range(1, 500)
    ]
    simulation = written(*trades, node_error="invented order", error_from_s=15.5)
    simulation.wait(0.5)
    finished = simulation.run("final")
    assert finished.result.state == "unknown"
    assert ("open_orders", "O-1000000", "client_order_id", "moving") in told(finished)


def test_what_the_venue_did_behind_the_last_word_of_a_node_is_late_and_no_more() -> None:
    simulation = written(
        (2.0, 99.0, lambda state: state.traded("BUY", Decimal("0.001"), Decimal(60_000))),
        (2.0, 99.0, lambda state: state.closed(0)),
    )
    simulation.wait(1.9)
    simulation.reconciler.add_node_snapshot(simulation.node_snapshot(0, 1.9))
    simulation.wait(8)
    finished = simulation.run("final")
    assert (finished.result.state, finished.result.comparisons) == ("warning", 1)
    assert {reason for *_, reason in told(finished)} == {"in_flight"}


def test_what_took_place_behind_the_nodes_answer_takes_no_second_look() -> None:
    simulation = written(
        (6.06, 6.07, lambda state: state.traded("BUY", Decimal("0.001"), Decimal(60_000))), answer_latency_s=0.08
    )
    simulation.wait(6)
    result = simulation.run("periodic").result
    assert (result.state, result.comparisons) == ("ok", 1)
    assert (result.expected.positions, result.observed.positions) == (0, 0)
