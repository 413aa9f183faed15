"""A venue that refuses to flatten the account, as an exchange does: only the engine can flatten it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.runs.processes.venue_control_client import open_control
from opslab.store.layout import Layout
from tests.drivers.load import stretched
from tests.drivers.paper_run import Event, PaperRun, paper_spec
from tests.drivers.tc import Tc
from tests.oracles.paper_truth import ledger_of, true_end

OVERLOADED = -1008
OVERLOAD_SECONDS = 4.0
BACKOFF_SECONDS = 5.0
"""After a request without an answer, control sends none for this long: a refusal is an answer."""
LONG = 600.0


@contextmanager
def refusing_run(tc: Tc, overload_seconds: float) -> Iterator[PaperRun]:
    """A run with a position, whose venue rejects every order for a time and refuses to flatten the account."""
    with PaperRun(tc, paper_spec(tc, speed=240)) as run:
        run.wait_for_bars(3)
        with open_control(Layout(tc.home), run.run_id) as control:
            control.request("start", fault="refuse-flatten", seconds=LONG)
            control.request("start", fault="reject-orders", terms={"code": OVERLOADED}, seconds=overload_seconds)
            control.request("start", fault="external-trade", terms={"quantity": "0.500"})
        yield run


def activate(run: PaperRun) -> None:
    run.tc.ok("kill", "activate", "--run-id", run.run_id, "--reason", "odd")


def seconds_of(event: Event) -> float:
    return parse_iso(event["time"]) / NS_PER_SECOND


def last_event(run: PaperRun, name: str) -> Event:
    return [event for event in run.events if event["event"] == name][-1]


def assert_engine_reported(run: PaperRun, *, flat: bool) -> None:
    """The last report of the account is the engine's, and has no work of the venue."""
    orders, position = run.told("orders_canceled")[-1], run.told("positions_flattened")[-1]
    assert (orders["by"], position["by"], position["flat"]) == ("engine", "engine", flat)
    assert orders.get("canceled") is orders.get("closed") is None


def assert_answered(run: PaperRun) -> None:
    """Control took the refusal as an answer."""
    ended = max(seconds_of(event) for event in run.events if event["event"] in ("engine_ended", "engine_lost"))
    assert seconds_of(last_event(run, "positions_flattened")) - ended < stretched(BACKOFF_SECONDS - 1)
    assert len(run.told("venue_started")) == 1


def test_after_an_overload_the_engine_alone_flattens_the_account(tc: Tc) -> None:
    with refusing_run(tc, OVERLOAD_SECONDS) as run:
        activate(run)
        shown = true_end(run, 4)
    halt = shown["halt"]
    assert (halt["flat"], halt["flattened_by"], halt["escalation"]) == (True, "engine", "none")
    overload_end = next(
        event
        for event in run.events
        if event["event"] == "fault_ended" and event["payload"]["fault"] == "reject-orders"
    )
    flat_at = parse_iso(halt["activated_at"]) / NS_PER_SECOND + halt["seconds_to_flat"]
    assert abs(flat_at - seconds_of(overload_end)) < stretched(2)
    assert_engine_reported(run, flat=True)
    assert_answered(run)


def test_an_engine_that_is_killed_in_a_halt_leaves_the_account_open_and_the_run_has_failed(tc: Tc) -> None:
    with refusing_run(tc, LONG) as run:
        activate(run)
        run.wait_for("trading_halted")
        run.kill_child("engine")
        shown = true_end(run, 1)
    assert (shown["status"], shown["ended_by"]) == ("failed", "kill_switch")
    assert shown["failure"]["message"] == "the venue still has open orders or a position and could not close them"
    assert (shown["halt"]["flat"], shown["halt"]["flattened_by"]) == (False, None)
    assert_left_open(run, shown)


def test_an_engine_that_is_killed_leaves_the_account_open_and_the_run_has_failed(tc: Tc) -> None:
    with refusing_run(tc, LONG) as run:
        run.kill_child("engine")
        shown = true_end(run, 1)
    assert (shown["status"], shown["paper"]["stop"]["reason"]) == ("failed", "engine_lost")
    assert_left_open(run, shown)


def assert_left_open(run: PaperRun, shown: Any) -> None:
    assert shown["paper"]["final_account"]["flat"] is False
    assert ledger_of(run.folder).position
    assert_engine_reported(run, flat=False)
    assert_answered(run)


def test_an_account_that_a_killed_engine_left_flat_was_not_flattened_by_the_venue(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, "ops_smoke_demo", speed=240)) as run:
        run.wait_for_bars(1)
        run.fault("refuse-flatten")
        run.kill_child("engine")
        shown = true_end(run, 1)
    assert shown["paper"]["final_account"]["flat"] is True
    assert_engine_reported(run, flat=True)
    assert_answered(run)
