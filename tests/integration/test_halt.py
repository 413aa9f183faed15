"""The kill switch stops what runs: through the command line, whatever the strategy, its engine and control do."""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from opslab.errors import LabError
from opslab.lab.context import context_of
from opslab.lab.run.plan import make_plan
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import parse_iso
from opslab.runs.claim import claim
from opslab.runs.lifecycle import RunContext
from opslab.runs.paper.run import run_paper
from opslab.runs.processes.venue_control_client import open_control
from opslab.runs.processes.venue_folder import is_venue_running
from opslab.runs.safety.flat_times import flat_times
from opslab.settings import Settings
from opslab.store.layout import Layout
from opslab.store.venues.ledger import read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER
from opslab.system import StopSignals
from tests.drivers.load import stretched
from tests.drivers.tc import Tc, wait_until
from tests.oracles.paper_rules import departures_in
from tests.oracles.paper_truth import ledger_of

ENGINES = Path(__file__).parents[1] / "fakes" / "live_engines.py"
STRATEGIES = Path(__file__).parents[1] / "strategies" / "halting"
RUN = "r1"
END_SECONDS = 300.0


class Running:
    """`tc run paper` of one of the strategies, in a process of its own."""

    def __init__(self, tc: Tc, strategy: str, mode: str = "paper", **changes: Any) -> None:
        self.tc = tc
        self.folder = tc.home / "own"
        shutil.copytree(STRATEGIES, self.folder)
        if mode == "paper":
            changes["paper"] = {"speed": 120, "max_bars": 2000, "on_stop": "leave", **changes.get("paper", {})}
        spec = tc.own_spec(self.folder, {"path": f"halting:{strategy}"}, mode=mode, **changes)
        self.control = tc.start("run", mode, "--spec", spec, "--run-id", RUN, "--json")

    def marked(self, name: str) -> None:
        def there() -> bool:
            assert self.control.poll() is None, self.control.communicate()
            return (self.folder / name).exists()

        wait_until(there, name)

    def mark(self, name: str) -> None:
        (self.folder / name).touch()

    def statement(self) -> Any:
        """The venue's own; None while it cannot be asked."""
        with suppress(LabError, OSError), open_control(Layout(self.tc.home), RUN) as venue_control:
            return venue_control.request("statement")
        return None

    def rests(self, orders: int = 20) -> None:
        """Until the venue has that many open orders, and a position."""

        def there() -> bool:
            assert self.control.poll() is None, self.control.communicate()
            account = (self.statement() or {"account": {"open_orders": [], "positions": []}})["account"]
            return len(account["open_orders"]) >= orders and bool(account["positions"])

        wait_until(there, f"{orders} open orders and a position")

    def is_flat(self) -> bool:
        found = self.statement()
        return found is not None and not found["account"]["open_orders"] and not found["account"]["positions"]

    def engine(self) -> int:
        """Process id of its engine."""
        return child_of(self.control.pid, "opslab.children.engine")

    def halted(self) -> Any:
        """What the command printed once it had ended, and was all as it is to be of any halted run."""
        out, err = self.control.communicate(timeout=END_SECONDS)
        assert self.control.returncode == 4, (self.control.returncode, out[-3000:], err)
        assert "was halted" in err
        run = json.loads(out)
        assert (run["status"], run["ended_by"], run["failure"]) == ("halted", "kill_switch", None)
        self.tc.ok("run", "verify", RUN)
        if run["mode"] == "paper":
            assert departures_in(self.tc.run_folder(RUN)) == []
        return run

    def event(self, name: str) -> dict[str, Any]:
        """Of the journal, the one of that name."""
        found: list[dict[str, Any]] = [event for event in self.tc.events(RUN) if event["event"] == name]
        assert len(found) == 1, (name, found)
        return found[0]


def child_of(pid: int, program: str) -> int:
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and program in words:
                return int(entry.name)
    raise AssertionError(f"{pid} has no child {program}")


@contextmanager
def started(tc: Tc, strategy: str, mode: str = "paper", **changes: Any) -> Iterator[Running]:
    """Leaves no process behind: the children of a control that is killed end by themselves."""
    running = Running(tc, strategy, mode, **changes)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.kill(running.control.pid, signal.SIGCONT)
        if running.control.poll() is None:
            running.control.kill()
            running.control.communicate()


def activate(tc: Tc, *scope: str) -> None:
    tc.ok("kill", "activate", *(scope or ("--run-id", RUN)), "--reason", "odd")


def flat_by_ledger(tc: Tc, run: Any) -> None:
    """The account's own record ends flat, and its section says when that was."""
    ledger = tc.run_folder(RUN) / VENUE_FOLDER
    times = flat_times(read_ledger(ledger, RUN))
    orders, position = open_at_end(ledger)
    assert (orders, position) == (set(), "0")
    halt = run["halt"]
    assert halt["flat"] is True
    assert run["paper"]["final_account"] == {"open_orders": 0, "position": "0", "flat": True, "source": "venue"}
    if times.flat_at and halt["activated_at"]:
        passed = max(0, parse_iso(times.flat_at) - parse_iso(halt["activated_at"])) / 1e9
        assert halt["seconds_to_flat"] == pytest.approx(passed, abs=1e-6)
    assert halt["seconds_to_gate"] >= 0
    assert "odd" not in json.dumps(halt)


def open_at_end(ledger: Path) -> tuple[set[int], str]:
    """Open orders and position, by a reader of its own."""
    stands = ledger_of(ledger.parent)
    return set(stands.open), f"{stands.position.normalize():f}"


def test_an_idle_run(tc: Tc) -> None:
    with started(tc, "Idle") as running:
        running.marked("bar-2")
        activate(tc)
        run = running.halted()
    flat_by_ledger(tc, run)
    halt = run["halt"]
    assert (halt["scope"], halt["run_switch"], halt["all_switch"]) == ("run", "active", "absent")
    assert (halt["seconds_to_flat"], halt["flattened_by"], halt["escalation"]) == (0.0, "engine", "none")
    assert running.event("positions_flattened")["payload"]["venue"]["positions"] == []
    assert running.event("orders_canceled")["payload"]["open_orders"] == 0
    assert running.event("trading_halted")["payload"]["seconds_to_gate"] == halt["seconds_to_gate"]
    assert [event["event"] for event in tc.events(RUN)][-1] == "run_halted"
    assert run["paper"]["final_reconciliation"] == "ok"
    assert (run["safety"]["state"], run["safety"]["reason"]) == ("active", "odd")
    report = (tc.run_folder(RUN) / "report.md").read_text()
    assert "## Halt" in report
    assert "seconds_to_gate" in report
    shown = tc.ok("run", "show", RUN).out
    assert "after the activation" in shown


def test_resting_orders_and_a_position_by_the_switch_of_all_runs(tc: Tc) -> None:
    """`on_stop: leave`, and everything is ended all the same."""
    with started(tc, "Rests") as running:
        running.rests()
        activate(tc, "--all")
        run = running.halted()
    flat_by_ledger(tc, run)
    assert (run["halt"]["scope"], run["halt"]["all_switch"]) == ("all", "active")
    assert run["halt"]["flattened_by"] == "engine"
    assert run["halt"]["seconds_to_flat"] > 0
    assert run["metrics"]["orders_canceled"] == 20


def test_a_strategy_that_orders_every_millisecond(tc: Tc) -> None:
    """Orders wait in a row that its adapter sends at twenty a second: none of them outlives the halt."""
    with started(tc, "Floods") as running:
        running.rests(10)
        activate(tc)
        run = running.halted()
    flat_by_ledger(tc, run)
    gated = [event["payload"] for event in tc.events(RUN) if event["event"] == "order_gated"]
    assert 0 < len(gated) <= 1000
    assert gated[0]["call"] == "submit_order"
    assert gated[0]["side"] == "BUY"
    assert run["halt"]["orders_gated"] >= len(gated)
    assert run["denial_reasons"]["KILL_SWITCH"] == run["halt"]["orders_gated"]


def test_orders_that_are_on_their_way(tc: Tc) -> None:
    """Sent before the gate closed; the venue takes and fills them behind it."""
    with started(tc, "Asked", paper={"latency_ms": 400}) as running:
        running.marked("bar-1")
        running.mark("order")
        running.marked("ordered")
        activate(tc)
        run = running.halted()
    flat_by_ledger(tc, run)
    closed_at = run["halt"]["gate_closed_at"]
    late = [
        event["kind"]
        for transaction in read_ledger(tc.run_folder(RUN) / VENUE_FOLDER, RUN)
        if transaction.time > closed_at
        for event in transaction.events
    ]
    assert late.count("accepted") >= 3, "both, and what closed the position"
    assert {"filled", "canceled"} <= set(late)
    assert run["halt"]["seconds_to_flat"] > 0.4


@pytest.mark.parametrize("strategy", ["Blocks", "BlocksForEver", "BlocksAll"])
def test_a_handler_that_blocks_the_engine(tc: Tc, strategy: str) -> None:
    """For a while, for ever, and with all threads of its process."""
    with started(tc, strategy) as running:
        running.rests()
        running.mark("block")
        running.marked("blocked")
        activate(tc)
        if strategy == "Blocks":
            wait_until(running.is_flat, "a flat account while the handler blocks")
            running.mark("release")
        run = running.halted()
    flat_by_ledger(tc, run)
    halt = run["halt"]
    if strategy == "BlocksAll":
        assert (halt["escalation"], halt["flattened_by"]) == ("sigkill", "venue")
        assert halt["seconds_to_flat"] < stretched(4)
    else:
        assert halt["flattened_by"] == "engine"
        assert halt["seconds_to_gate"] < stretched(1)
        assert halt["seconds_to_flat"] < stretched(2)
        assert halt["escalation"] == ("none" if strategy == "Blocks" else "sigkill")
    if strategy == "Blocks":
        assert run["halt"]["orders_gated"] == 1, "what it ordered when it was free again"


@pytest.mark.parametrize("which", ["trading", "user"])
def test_a_connection_that_is_down(tc: Tc, which: str) -> None:
    with started(tc, "Rests") as running:
        running.rests()
        for fault in ("refuse", "reset"):
            tc.ok("venue", "fault", "start", fault, "--name", RUN, "--term", f"which={which}", "--seconds", "60")
        activate(tc)
        run = running.halted()
    flat_by_ledger(tc, run)
    assert run["halt"]["flattened_by"] == "engine"


def test_a_venue_that_takes_nothing_from_clients_ends_it_itself(tc: Tc) -> None:
    """Neither of the engine's hands can do anything."""
    with started(tc, "Rests") as running:
        running.rests()
        fault = ("venue", "fault", "start")
        tc.ok(*fault, "http", "--name", RUN, "--term", "status=503", "--seconds", "60")
        tc.ok(*fault, "refuse", "--name", RUN, "--term", "which=trading", "--seconds", "60")
        tc.ok(*fault, "reset", "--name", RUN, "--term", "which=trading")
        activate(tc)
        run = running.halted()
    flat_by_ledger(tc, run)
    assert (run["halt"]["escalation"], run["halt"]["flattened_by"]) == ("sigkill", "venue")
    assert run["halt"]["seconds_to_flat"] < stretched(5)


def test_control_that_is_stopped(tc: Tc) -> None:
    """The engine ends everything by itself; control, when it goes on, finds out and says so."""
    with started(tc, "Rests") as running:
        running.rests()
        engine = running.engine()
        os.kill(running.control.pid, signal.SIGSTOP)
        activate(tc)
        wait_until(running.is_flat, "a flat account while control is stopped")
        wait_until(lambda: not is_running(engine), "the end of the engine while control is stopped")
        assert running.control.poll() is None
        os.kill(running.control.pid, signal.SIGCONT)
        run = running.halted()
    flat_by_ledger(tc, run)
    assert run["halt"]["seconds_to_gate"] < stretched(1)


def is_running(pid: int) -> bool:
    """Whether it still does something: one that has ended and was not taken note of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_control_that_was_killed_while_its_engine_hangs(tc: Tc) -> None:
    """`on_stop: leave`, so that nothing but the kill switch ends it."""
    with started(tc, "BlocksForEver") as running:
        running.rests()
        running.mark("block")
        running.marked("blocked")
        running.control.kill()
        running.control.communicate()
        activate(tc)
        wait_until(running.is_flat, "a flat account without control")


def test_control_that_was_killed_beside_an_engine_of_which_no_thread_does_anything(tc: Tc) -> None:
    """Nobody is left but the venue: it looks at the switch itself, and does not wait for its clients to go."""
    with started(tc, "BlocksAll") as running:
        running.rests()
        running.mark("block")
        running.marked("blocked")
        engine = running.engine()
        running.control.kill()
        running.control.communicate()
        activate(tc)
        wait_until(running.is_flat, "a flat account without control and engine")
        assert is_running(engine), "its clients are there still"
        os.kill(engine, signal.SIGKILL)  # it would be waited for
    recovered(tc)
    assert tc.json("run", "show", RUN)["status"] == "interrupted", "control was dead before the switch was activated"
    assert open_at_end(tc.run_folder(RUN) / VENUE_FOLDER) == (set(), "0")


def test_control_that_is_killed_over_a_halt(tc: Tc) -> None:
    """What it had begun is settled as what it was."""
    with started(tc, "BlocksForEver") as running:
        running.rests()
        running.mark("block")
        running.marked("blocked")
        activate(tc)
        wait_until(lambda: any(event["event"] == "trading_halted" for event in tc.events(RUN)), "the halt")
        running.control.kill()
        running.control.communicate()
    message = recovered(tc)
    assert "halted" in message
    run = tc.json("run", "show", RUN)
    assert (run["status"], run["ended_by"], run["recovered_at"] is not None) == ("halted", "kill_switch", True)
    assert (run["halt"]["flat"], run["halt"]["run_switch"], run["halt"]["escalation"]) == (True, "active", None)
    assert 0 < run["halt"]["seconds_to_gate"] <= run["halt"]["seconds_to_flat"] < stretched(5)
    assert open_at_end(tc.run_folder(RUN) / VENUE_FOLDER) == (set(), "0")
    tc.ok("run", "verify", RUN)


def recovered(tc: Tc) -> str:
    """What `tc run recover` says of it, once its venue has ended."""
    wait_until(lambda: not is_venue_running(Layout(tc.home), RunId(RUN)), "the venue to end")
    [found] = tc.json("run", "recover", RUN)["runs"]
    assert found["action"] == "settled"
    return str(found["message"])


@pytest.mark.parametrize("how", ["hangs", "dies hanging", "dies when all is flat"])
def test_a_venue_that_is_lost_over_a_halt(tc: Tc, how: str) -> None:
    """It is started again on its ledger: nobody else can say that the account is flat."""
    with started(tc, "BlocksForEver") as running:
        running.rests()
        running.mark("block")
        running.marked("blocked")
        venue = child_of(running.control.pid, "opslab.children.venue")
        if how == "dies when all is flat":
            activate(tc)
            wait_until(running.is_flat, "a flat account")
        else:
            os.kill(venue, signal.SIGSTOP)
            activate(tc)
            wait_until(lambda: any(event["event"] == "trading_halted" for event in tc.events(RUN)), "the halt")
        if how != "hangs":
            os.kill(venue, signal.SIGKILL)
        run = running.halted()
    flat_by_ledger(tc, run)
    assert any(event["event"] == "venue_lost" for event in tc.events(RUN))


def test_nothing_revives_a_halted_run(tc: Tc) -> None:
    """An engine that dies while the switch is active is not started again."""
    with started(tc, "BlocksForEver", paper={"restart": "on_failure", "max_restarts": 5}) as running:
        running.rests()
        running.mark("block")
        running.marked("blocked")
        engine = running.engine()
        activate(tc)
        wait_until(lambda: any(event["event"] == "trading_halted" for event in tc.events(RUN)), "the halt")
        os.kill(engine, signal.SIGKILL)
        run = running.halted()
    flat_by_ledger(tc, run)
    assert run["paper"]["restarts"] == 0
    assert running.event("engine_lost")["payload"]["engine_number"] == 1


def test_an_engine_that_is_being_started_again(tc: Tc) -> None:
    """The switch comes while there is no engine, or one that does not trade yet."""
    with started(tc, "Rests", paper={"restart": "on_failure"}) as running:
        running.rests()
        os.kill(running.engine(), signal.SIGKILL)
        wait_until(lambda: any(event["event"] == "engine_lost" for event in tc.events(RUN)), "the loss")
        activate(tc)
        run = running.halted()
    flat_by_ledger(tc, run)
    assert run["paper"]["restarts"] <= 1


def test_an_activation_while_the_run_starts(tc: Tc) -> None:
    """Behind the gate, before anything trades."""
    with started(tc, "Rests") as running:
        wait_until(lambda: any(event["event"] == "run_started" for event in tc.events(RUN)), "the start")
        activate(tc)
        run = running.halted()
    assert run["halt"]["flat"] is True
    assert open_at_end(tc.run_folder(RUN) / VENUE_FOLDER) == (set(), "0")
    assert running.event("positions_flattened")["payload"]["flat"] is True


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)


def _link(folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    folder.symlink_to("away")


def _forbid(folder: Path) -> None:
    folder.chmod(0)


@pytest.mark.parametrize(
    "what",
    [
        _remove,
        _link,
        pytest.param(
            _forbid, marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read a folder without rights")
        ),
    ],
    ids=["removed", "link", "forbidden"],
)
def test_a_switch_that_cannot_be_read_stops_the_run(tc: Tc, what: Any) -> None:
    with started(tc, "Rests") as running:
        running.rests()
        folder = tc.home / "runtime" / "kill_switch"
        what(folder)
        run = running.halted()
        folder.chmod(0o700) if what is _forbid else None
    flat_by_ledger(tc, run)
    assert run["halt"]["activated_at"] is None
    assert run["safety"]["problem"].startswith("the folder")


def test_without_word_of_the_kernel_it_polls(tc: Tc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control does not watch here at all: what stops the run is the engine's polling."""
    monkeypatch.setattr("opslab.runs.safety.halt_controller.SwitchWatch", NoWatch)
    home = context_of(Settings(tc.home, "--home"))
    block = {"speed": 120, "max_bars": 2000}
    plan = make_plan(home, Path(tc.spec(mode="paper", paper=block)), RUN, "paper")
    command = (sys.executable, "-P", str(ENGINES), "HoldsPolled")
    with StopSignals() as signals:
        context = RunContext(home.layout, home.clock, home.processes, home.redact, signals, command)
        asked = threading.Event()

        def on_live(live: Any) -> None:
            if live.paper and live.paper.position_side == "LONG" and not asked.is_set():
                asked.set()
                activate(tc)

        with claim(context, plan) as claimed:
            run = run_paper(claimed, context, on_live)
    assert run.status == "halted"
    flat_by_ledger(tc, run.model_dump(mode="json"))


class NoWatch:
    def __init__(self, *_values: Any, **_more: Any) -> None: ...

    def start(self) -> None: ...

    def close(self) -> None: ...


# Backtests


def test_a_backtest_stops_within_a_second(long_tc: Any, tmp_path: Path) -> None:
    source = long_tc()
    tc = Tc(tmp_path / "home")
    shutil.copytree(source.home, tc.home)
    with started(tc, "Idle", "backtest", dataset="long") as running:
        running.marked("bar-1000")
        activate(tc)
        out, _err = running.control.communicate(timeout=END_SECONDS)
    run = json.loads(out)
    assert (running.control.returncode, run["status"], run["ended_by"]) == (4, "halted", "kill_switch")
    took = parse_iso(run["ended_at"]) - parse_iso(run["halt"]["activated_at"])
    assert took < stretched(1) * 1_000_000_000
    assert 1000 <= run["metrics"]["bars_seen"] < 2_000_000
    assert run["artifacts"]
    assert run["result_digest"] is None
    tc.ok("run", "verify", RUN)
    again = tc("run", "reproduce", RUN)
    assert again.code == 2, again.err
    assert tc("run", "compare", RUN, RUN).code == 3, "neither has a result to compare"


def test_a_backtest_whose_handler_blocks_is_killed_and_has_what_it_had(tc: Tc) -> None:
    with started(tc, "BlocksBacktest", "backtest") as running:
        running.marked("blocked")
        activate(tc)
        run = running.halted()
    assert parse_iso(run["ended_at"]) - parse_iso(run["halt"]["activated_at"]) < stretched(2) * 1_000_000_000
    assert run["halt"]["seconds_to_gate"] < stretched(1)
    partial = tc.run_folder(RUN) / "orders.partial.jsonl"
    assert any(path.stat().st_size for path in tc.run_folder(RUN).iterdir() if "partial" in path.name), partial
    assert run["halt"]["flat"] is None


def test_a_reproduction_that_is_halted_says_nothing_of_the_original(long_tc: Any, tmp_path: Path) -> None:
    source = long_tc()
    tc = Tc(tmp_path / "home")
    shutil.copytree(source.home, tc.home)
    tc.ok("run", "backtest", "--spec", tc.spec(dataset="long"), "--run-id", RUN)
    child = tc.start("run", "reproduce", RUN)
    again = f"{RUN}-again-1"
    wait_until(lambda: any(event["event"] == "scenario_registered" for event in tc.events(again)), "its engine")
    tc.ok("kill", "activate", "--run-id", again, "--reason", "odd")
    _out, err = child.communicate(timeout=END_SECONDS)
    assert child.returncode == 4, err
    assert "was halted" in err


def test_the_command_says_which_runs_it_stops(tc: Tc) -> None:
    """A run whose engine takes a while is there still when the command looks."""
    with started(tc, "Blocks") as running:
        running.rests()
        running.mark("block")
        running.marked("blocked")
        answer = tc.ok("kill", "activate", "--run-id", RUN, "--reason", "odd")
        running.mark("release")
        running.halted()
    assert f"run {RUN} is running and is being stopped" in answer.err
