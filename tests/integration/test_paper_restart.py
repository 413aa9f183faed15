"""`restart: on_failure`: an engine that is killed is followed by one that takes over what the venue has, so often."""

import os
import shutil
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

from opslab.model.run.paper_summary import EngineFacts, PaperFacts
from tests.drivers.load import stretched
from tests.drivers.paper_run import PaperRun, with_fields
from tests.drivers.running_ledger import has_position_and_orders
from tests.drivers.tc import Tc, wait_until
from tests.oracles.counter_truth import not_grown, read_beside
from tests.oracles.engine_takeover import not_taken_over
from tests.oracles.paper_truth import rows_of, untruths

RUN = "pp"
CHOSEN_IDS = Path(__file__).parents[1] / "strategies" / "paper" / "chosen_ids.py"
MINUTE_NS = 60_000_000_000


def spec(tc: Tc, **paper: Any) -> str:
    return tc.spec(mode="paper", strategy="order_lifecycle_demo", paper={"speed": 120, "max_bars": 14, **paper})


def facts_of(tc: Tc) -> PaperFacts:
    return PaperFacts.model_validate(tc.json("run", "show", RUN)["paper"], strict=False)


def ledger(tc: Tc) -> Path:
    return tc.home / "runtime" / "venues" / RUN


def wait_until_open(tc: Tc) -> None:
    """A position and an order that rests."""
    wait_until(lambda: all(has_position_and_orders(ledger(tc))), "a position and an open order")


def ends(engines: tuple[EngineFacts, ...]) -> list[str | None]:
    return [engine.ended_by for engine in engines]


def test_the_new_engine_takes_over_position_and_orders_and_the_run_goes_on(tc: Tc) -> None:
    with PaperRun(tc, spec(tc, restart="on_failure"), RUN) as run, read_beside(run) as lives:
        wait_until_open(tc)
        run.kill_child("engine")
        lost = run.wait_for("engine_lost")
        answer = run.end()
    assert answer.code == 0, answer.err
    assert not_grown(lives, tc.json("run", "show", RUN)) == []
    assert untruths(tc, RUN, 0) == []
    payload = lost["payload"]
    assert (payload["engine_number"], payload["ended_by"]) == (1, "SIGKILL")
    assert "died of SIGKILL" in payload["failure"]["message"]
    facts = facts_of(tc)
    assert (ends(facts.engines), facts.restarts) == (["SIGKILL", "stopped"], 1)
    took = facts.latencies.restart_to_reconciled_seconds_max
    assert took is not None
    assert took < stretched(15)
    assert facts.final_reconciliation == "ok"
    assert not_taken_over(run.folder, run.events, lost) == []


def test_the_strategy_of_the_new_engine_receives_the_events_of_an_order_whose_id_it_chose_before(tc: Tc) -> None:
    folder = tc.home / "own"
    folder.mkdir()
    shutil.copy(CHOSEN_IDS, folder)
    paper = {"speed": 240, "max_bars": 600, "restart": "on_failure"}
    own_spec = tc.own_spec(folder, {"path": "chosen_ids:ChoosesIds"}, mode="paper", paper=paper)
    with PaperRun(tc, own_spec, RUN) as run:
        run.wait_for("order_event", with_fields(type="OrderAccepted", client_order_id="first"))
        run.kill_child("engine")
        run.wait_for("order_event", with_fields(type="OrderFilled", client_order_id="after-first"))
        run.process.send_signal(signal.SIGINT)
        assert run.end().code == 130
    orders = {row["client_order_id"]: row for row in rows_of(run.folder, "orders")}
    assert (orders["first"]["status"], orders["after-first"]["status"]) == ("CANCELED", "FILLED")
    assert facts_of(tc).orders_external == 0


def test_what_closed_while_no_engine_was_there_is_missed_and_counted(tc: Tc) -> None:
    with PaperRun(tc, spec(tc, restart="on_failure", speed=600, max_bars=60), RUN) as run:
        wait_until_open(tc)
        run.kill_child("engine")
        assert run.end().code == 0
    facts = facts_of(tc)
    seen = [row["ts_event"] // MINUTE_NS for row in rows_of(run.folder, "bars")]
    gaps = [(one, other) for one, other in pairwise(seen) if other != one + 1]
    assert len(gaps) == 1
    (one, other) = gaps[0]
    assert (facts.bars_seen, facts.bars_missed) == (len(seen), other - one - 1)
    assert len(seen) + other - one - 1 == 60


def test_at_full_speed_the_venue_waits_for_the_new_engine(tc: Tc) -> None:
    """The candle in the hands of the one that died is lost at most."""
    with PaperRun(tc, spec(tc, restart="on_failure", speed="max", max_bars=60), RUN) as run:
        run.wait_for("order_event", lambda told: told["type"] == "OrderFilled")
        run.kill_child("engine")
        killed = run.wait_for("engine_lost")
        assert run.end().code == 0
    assert untruths(tc, RUN, 0) == []
    facts = facts_of(tc)
    assert facts.bars_seen is not None
    assert facts.bars_missed is not None
    assert facts.bars_missed <= 1
    assert facts.bars_seen + facts.bars_missed == 60
    said = (run.folder / "logs" / "venue-events.jsonl").read_text()
    assert "none arrived within" not in said  # it did not wait for word of the dead
    assert killed["payload"]["bars"] < 60


def test_it_is_restarted_so_often_and_then_the_run_fails_with_its_account_flat(tc: Tc) -> None:
    with PaperRun(tc, spec(tc, restart="on_failure", max_restarts=1, max_bars=100), RUN) as run:
        for number in (1, 2):
            run.wait_for("paper_heartbeat", with_fields(engine_number=number))
            wait_until_open(tc)
            run.kill_child("engine")
            run.wait_for("engine_lost", with_fields(engine_number=number))
        answer = run.end()
    assert answer.code == 1
    assert untruths(tc, RUN, 1) == []
    facts = facts_of(tc)
    assert (ends(facts.engines), facts.restarts) == (["SIGKILL", "SIGKILL"], 1)
    assert facts.final_account
    assert facts.final_account.flat
    assert "died of SIGKILL" in answer.err


def test_without_restart_the_run_fails_and_the_venue_flattens(tc: Tc) -> None:
    with PaperRun(tc, spec(tc), RUN) as run:
        wait_until_open(tc)
        run.kill_child("engine")
        answer = run.end()
    assert answer.code == 1
    assert untruths(tc, RUN, 1) == []
    facts = facts_of(tc)
    assert (ends(facts.engines), facts.restarts) == (["SIGKILL"], 0)
    assert facts.final_account
    assert facts.final_account.flat
    assert facts.orders_by_venue
    assert "engine_restarted" not in run.names


def test_an_engine_that_dies_before_it_trades_is_followed_as_well(tc: Tc) -> None:
    with PaperRun(tc, spec(tc, restart="on_failure", max_bars=3), RUN) as run:
        engine = run.wait_for_child("engine")
        os.kill(engine, signal.SIGKILL)
        answer = run.end()
    assert answer.code == 0, answer.err
    facts = facts_of(tc)
    assert (ends(facts.engines), facts.bars_seen, facts.bars_missed) == (["SIGKILL", "stopped"], 3, 0)
