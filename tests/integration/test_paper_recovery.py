"""Control of a paper run is killed: engine and venue leave the account as wanted and end; `recover` settles the run."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from opslab.model.messages.ledger_events import LedgerEvent, parse_event
from opslab.model.run.paper_summary import AccountFacts, StopFacts
from tests.drivers.load import stretched
from tests.drivers.paper_run import PaperRun, living_in
from tests.drivers.running_ledger import has_position_and_orders
from tests.drivers.tc import Answer, Tc, wait_until
from tests.oracles.counter_truth import not_grown
from tests.oracles.ledger_state import ledger_state
from tests.oracles.paper_truth import ledger_of, rows_of, untruths

RUN = "pp"
GONE_SECONDS = 25.0
"""Engine and venue are gone by then, whatever keeps one of them."""


def spec(tc: Tc, *, journal: bool = True, **paper: Any) -> str:
    return tc.spec(
        mode="paper",
        strategy="order_lifecycle_demo",
        paper={"speed": 120, "max_bars": 200, **paper},
        observability={"journal": journal},
    )


def wait_for_trade(run: PaperRun) -> None:
    run.wait_for("order_event", lambda told: told["type"] == "OrderFilled")


def wait_for_bars_file(run: PaperRun) -> None:
    path = run.folder / ".bars.jsonl.tmp"
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") > 1, "two bars")


def lives(tc: Tc) -> list[dict[str, Any]]:
    """The live file, if there is one."""
    path = tc.home / "runtime" / "live" / f"{RUN}.json"
    return [json.loads(path.read_text())] if path.exists() else []


def kill_control(run: PaperRun) -> None:
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()


def wait_until_gone(run: PaperRun) -> None:
    wait_until(
        lambda: not [pid for pid in living_in(run.home) if pid != os.getpid()],
        "engine and venue to end by themselves",
        stretched(GONE_SECONDS),
    )


@contextmanager
def killed(tc: Tc, spec_file: str) -> Iterator[PaperRun]:
    """One whose control was killed while it traded; its children may live on for a moment."""
    with PaperRun(tc, spec_file, RUN) as run:
        wait_for_bars_file(run)
        if "true" in Path(spec_file).read_text().partition('"journal": ')[2][:4]:
            wait_for_trade(run)
        wait_until(
            lambda: [live["paper"]["phase"] for live in lives(tc)] == ["running"], "the live file to say running"
        )
        kill_control(run)
        yield run


def recovered(tc: Tc) -> dict[str, Any]:
    """What `show` says of the run, once it was settled and that was looked at."""
    last = lives(tc)
    assert tc.json("run", "recover", RUN)["runs"][0]["action"] == "settled"
    shown: dict[str, Any] = tc.json("run", "show", RUN)
    assert untruths(tc, RUN, None) == []
    assert not_grown(last, shown) == []
    before = {path: path.read_bytes() for path in tc.run_folder(RUN).rglob("*") if path.is_file()}
    assert tc.json("run", "recover", RUN)["runs"][0]["action"] == "unchanged"
    assert {path: path.read_bytes() for path in tc.run_folder(RUN).rglob("*") if path.is_file()} == before
    assert (shown["status"], shown["ended_by"]) == ("interrupted", "owner_gone")
    return shown


def account_of(shown: dict[str, Any]) -> AccountFacts:
    return AccountFacts.model_validate(shown["paper"]["final_account"])


def stop_of(shown: dict[str, Any]) -> StopFacts:
    return StopFacts.model_validate(shown["paper"]["stop"])


def test_the_account_is_flattened_and_the_run_settled_from_its_venues_ledger(tc: Tc) -> None:
    with killed(tc, spec(tc)) as run:
        seen = tc("run", "show", RUN, "--json")
        assert seen.document["status"] == "interrupted"
        assert f"tc run recover {RUN}" in seen.err
        assert tc.json("run", "list")["runs"][0]["status"] == "interrupted"
        assert tc("run", "verify", RUN).code == 3
        wait_until_gone(run)
        shown = recovered(tc)
    assert tc("run", "verify", RUN).code == 0
    account, stop = account_of(shown), stop_of(shown)
    assert (account.flat, account.source) == (True, "ledger")
    assert (stop.reason, stop.on_stop) == ("owner_gone", "flatten")
    assert stop.seconds_to_flat is not None
    assert stop.seconds_to_flat < stretched(15)
    (engine,) = shown["paper"]["engines"]
    assert (engine["number"], engine["ended_by"]) == (1, None)
    assert shown["paper"]["bars_seen"] == shown["metrics"]["bars_seen"] == len(rows_of(run.folder, "partial-bars"))
    assert shown["paper"]["bars_missed"] is None
    orders = shown["metrics"]["orders_submitted"] + shown["paper"]["orders_by_venue"]
    assert orders == len(rows_of(run.folder, "orders"))
    assert "from the venue's ledger" in tc.ok("run", "show", RUN).out
    assert "from the venue's ledger" in (run.folder / "report.md").read_text()


def test_nobody_settles_a_run_whose_venue_still_sees_to_the_account(tc: Tc) -> None:
    """It waits for a client that is still connected."""
    with PaperRun(tc, spec(tc), RUN) as run:
        where = run.wait_for("venue_started")["payload"]["rest_url"].rpartition("//")[2]
        wait_for_trade(run)
        host, _, port = where.partition(":")
        with socket.create_connection((host, int(port))) as client:
            kill_control(run)
            before = sorted(path.name for path in run.folder.rglob("*"))
            refused = tc("run", "recover", RUN)
            assert refused.code == 5
            assert f"run {RUN}: its venue still runs" in refused.err
            assert "at most 43 s after its tc" in refused.err
            assert sorted(path.name for path in run.folder.rglob("*")) == before
            every = tc.json("run", "recover", "--all")["runs"]
            assert [one["action"] for one in every] == ["refused"]
            client.shutdown(socket.SHUT_RDWR)
        wait_until_gone(run)
        assert account_of(recovered(tc)).flat


def test_a_venue_that_does_not_listen_yet_is_waited_for_as_well(tc: Tc) -> None:
    """From the first moment of its process: nothing of it comes to be behind who settles the run."""
    with PaperRun(tc, spec(tc), RUN) as run:
        venue = run.wait_for_child("venue")
        os.kill(venue, signal.SIGSTOP)
        kill_control(run)
        assert not (tc.home / "runtime" / "venues" / RUN / "ledger.jsonl").exists()
        assert tc("run", "recover", RUN).code == 5
        os.kill(venue, signal.SIGCONT)
        wait_until_gone(run)
        shown = recovered(tc)
    assert shown["metrics"]["orders_submitted"] == 0
    assert shown["paper"]["engines"] == []


def test_an_account_that_is_to_be_left_is_left_as_it_was(tc: Tc) -> None:
    with killed(tc, spec(tc, on_stop="leave")) as run:
        ledger = tc.home / "runtime" / "venues" / RUN / "ledger.jsonl"
        wait_until_gone(run)
        at_the_end = ledger.read_bytes()
        shown = recovered(tc)
    assert (run.folder / "venue" / "ledger.jsonl").read_bytes() == at_the_end
    stands, account = ledger_of(run.folder), account_of(shown)
    assert (account.open_orders, account.position) == (len(stands.open), f"{stands.position:f}")
    assert stop_of(shown).on_stop == "leave"
    assert not [row for row in rows_of(run.folder, "orders") if row["strategy_id"] == "VENUE"]


def test_the_end_of_a_fault_after_the_death_of_control_comes_from_the_venues_log(tc: Tc) -> None:
    with PaperRun(tc, spec(tc), RUN) as run:
        wait_for_bars_file(run)
        run.fault("delay", which="market", ms=5)
        begun = run.wait_for("fault_started")
        kill_control(run)
        wait_until_gone(run)
        shown = recovered(tc)
        (fault,) = shown["paper"]["faults"]
        assert (fault["name"], fault["started_at"], fault["ended_by"]) == ("delay", begun["time"], "venue_closing")
        assert [one["count"] for one in shown["warnings"] if one["code"] == "faults_injected"] == [1]


def test_an_account_that_nobody_was_left_to_flatten_is_told_as_it_is(tc: Tc) -> None:
    """All three processes are gone at once."""
    with PaperRun(tc, spec(tc), RUN) as run:
        wait_until(
            lambda: all(has_position_and_orders(tc.home / "runtime" / "venues" / RUN)), "a position and an order"
        )
        run.signal(signal.SIGSTOP)  # it would start its venue again
        run.kill_child("venue")
        run.kill_child("engine")
        kill_control(run)
        (done,) = tc.json("run", "recover", RUN)["runs"]
        assert "its venue died before it could close them" in done["message"]
        assert untruths(tc, RUN, None) == []
        account = account_of(tc.json("run", "show", RUN))
    assert (account.flat, account.open_orders, account.source) == (False, 1, "ledger")


def test_without_order_events_in_its_journal_it_knows_whose_the_orders_were(tc: Tc) -> None:
    with killed(tc, spec(tc, journal=False)) as run:
        wait_until_gone(run)
        assert (tc.home / "runtime" / "work" / RUN).is_dir()
        recovered(tc)
    assert {row["strategy_id"] for row in rows_of(run.folder, "orders")} >= {"LAB-001"}


def test_the_journal_will_do_where_what_control_kept_is_lost(tc: Tc, tmp_path: Path) -> None:
    """A machine that went down may have torn the scratch file, and lost it."""
    with killed(tc, spec(tc)) as run:
        wait_until_gone(run)
    rows: list[list[bytes]] = []
    for number, change in enumerate((_as_it_is, _lost, _torn)):
        home = tmp_path / f"{number}"
        shutil.copytree(tc.home, home)
        change(home / "runtime" / "work" / RUN)
        assert Tc(home).json("run", "recover", RUN)["runs"][0]["action"] == "settled"
        rows.append([(Tc(home).run_folder(RUN) / f"{name}.jsonl").read_bytes() for name in ("orders", "fills")])
    assert rows[0] == rows[1] == rows[2]


def _as_it_is(_scratch: Path) -> None: ...


def _lost(scratch: Path) -> None:
    shutil.rmtree(scratch)


def _torn(scratch: Path) -> None:
    for path in scratch.iterdir():
        path.write_bytes(os.urandom(5_000))


def test_a_broken_ledger_is_not_made_results_of(tc: Tc) -> None:
    with killed(tc, spec(tc)) as run:
        wait_until_gone(run)
    ledger = tc.home / "runtime" / "venues" / RUN / "ledger.jsonl"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole.replace(b'"0.005"', b'"0.006"', 1))
    answer = tc("run", "recover", RUN)
    assert answer.code == 6
    assert f"ledger of {RUN}: ledger.jsonl, line" in answer.err
    ledger.write_bytes(whole)
    recovered(tc)


def test_results_that_could_not_be_written_are_written_by_recover(tc: Tc) -> None:
    """Control lives to see that, and ends with the run as it is: what there is to make them from is kept."""
    with PaperRun(tc, spec(tc, max_bars=3), RUN) as run:
        run.wait_for("engine_started")
        (run.folder / "orders.jsonl").mkdir()
        answer = run.end()
    assert (answer.code, "cannot write orders.jsonl" in answer.err) == (5, True)
    assert tc.json("run", "show", RUN)["status"] == "interrupted"
    (run.folder / "orders.jsonl").rmdir()
    shown = recovered(tc)
    assert shown["paper"]["bars_seen"] == 3
    assert stop_of(shown).reason == "max_bars"
    assert shown["paper"]["final_reconciliation"] == "ok"


def test_what_control_itself_cannot_go_on_with_fails_the_run_with_its_results(tc: Tc) -> None:
    """It ends what it started, and what the ledger says is told."""
    with PaperRun(tc, spec(tc), RUN) as run:
        run.wait_for("venue_started")
        (run.folder / ".bars.jsonl.tmp").mkdir()
        answer = run.end()
    assert (answer.code, "cannot write bars.jsonl" in answer.err) == (5, True)
    shown = tc.json("run", "show", RUN)
    assert (shown["status"], shown["failure"]["kind"], stop_of(shown).reason) == ("failed", "lab", "failure")
    assert untruths(tc, RUN, None) == []
    assert account_of(shown).flat
    orders = shown["metrics"]["orders_submitted"] + shown["paper"]["orders_by_venue"]
    assert orders == len(rows_of(run.folder, "orders"))


def test_a_run_that_was_never_started_is_left_to_its_own_mode(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", spec(tc), "--run-id", RUN)
    answer: Answer = tc("run", "recover", RUN, "--json")
    (done,) = json.loads(answer.out)["runs"]
    assert (done["action"], "a paper run with its spec continues it" in done["message"]) == ("unchanged", True)


def test_what_is_known_of_a_dead_run_has_its_time_and_the_ledger_decides_about_the_account(tc: Tc) -> None:
    with killed(tc, spec(tc, on_stop="leave")) as run:
        wait_until_gone(run)
        venue = tc.home / "runtime" / "venues" / RUN
        shown = tc("run", "show", RUN)
        (live,) = lives(tc)
        at = f"at {live['heartbeat_at'][11:19]}Z, last heartbeat"
        assert "account now" not in shown.out
        assert "ago" not in shown.out
        assert f"running, {at}" in shown.out
        known = tc.json("run", "show", RUN)["ledger_account"]
        state = ledger_state(line_events(venue / "ledger.jsonl"))
        assert (known["open_orders"], Decimal(known["position"])) == (len(state.open), state.position)
        last = json.loads((venue / "ledger.jsonl").read_bytes().splitlines()[-1])
        assert known["as_of"] == last["time"]
        assert f"(by the venue's ledger, last change at {last['time']})" in shown.out
        (venue / "ledger.jsonl").rename(venue / "lost.jsonl")
        without = tc("run", "show", RUN).out
        assert "by the venue's ledger" not in without
        assert f"open orders, {at}" in without
        (venue / "lost.jsonl").rename(venue / "ledger.jsonl")
        assert "ledger_account" not in recovered(tc)


def line_events(path: Path) -> Iterator[LedgerEvent]:
    for line in path.read_bytes().splitlines():
        yield from map(parse_event, json.loads(line)["events"])
