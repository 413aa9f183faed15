"""The engine of a backtest is started while its run is planned; one that is not needed is gone with its command."""

import os
import signal
import sys
from pathlib import Path

import pytest

from opslab.errors import Environment
from opslab.runs.processes.started_process import EngineAhead
from tests.drivers.paper_run import living_in
from tests.drivers.tc import WAIT_SECONDS, Tc, wait_until

WAITS = "import time\nwhile True:\n    time.sleep(1)\n"
SLEEPER = (sys.executable, "-c", "import sys; sys.stdin.read()")


def engines(tc: Tc) -> list[int]:
    return [pid for pid, command in living_in(tc.home.resolve()).items() if "opslab.children.engine" in command]


def waiting_spec(tc: Tc) -> str:
    """Of a strategy whose module is never imported to its end."""
    (tc.home / "waits.py").write_text(WAITS)
    return tc.own_spec(tc.home, {"path": "waits:Waits"})


def test_a_run_that_is_refused_leaves_no_engine(tc: Tc) -> None:
    assert tc("run", "backtest", "--spec", tc.spec(dataset="nowhere")).code == 5
    assert not engines(tc)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_ended_while_it_plans_leaves_no_engine(tc: Tc, number: signal.Signals) -> None:
    command = tc.start("run", "backtest", "--spec", waiting_spec(tc))
    try:
        wait_until(lambda: bool(engines(tc)), "the engine, beside the inspection of the strategy")
        os.kill(command.pid, number)
        command.communicate(timeout=WAIT_SECONDS)
        wait_until(lambda: not engines(tc), "the end of the engine")
    finally:
        command.kill()
        command.communicate()
        for pid in living_in(tc.home.resolve()):
            os.kill(pid, signal.SIGKILL)


def test_a_blocked_run_gives_its_engine_no_plan(tc: Tc) -> None:
    tc.ok("kill", "activate", "--all", "--reason", "test")
    assert tc("run", "backtest", "--spec", tc.spec(), "--run-id", "r1").code == 4
    assert not engines(tc)
    assert not (tc.run_folder("r1") / "logs" / "engine.log").exists()


def test_an_engine_that_was_begun_is_taken_once() -> None:
    with EngineAhead(SLEEPER) as ahead:
        ahead.begin()
        ahead.begin()
        first, second = ahead.take(), ahead.take()
        assert first.process.pid != second.process.pid
        for started in (first, second):
            assert started.process.poll() is None
            started.discard()
            assert started.process.returncode == -signal.SIGKILL


def test_an_engine_that_is_not_taken_ends_with_the_block() -> None:
    with EngineAhead(SLEEPER) as ahead:
        ahead.begin()
        pid = int(Path("/proc/thread-self/children").read_text().split()[-1])
    assert not Path(f"/proc/{pid}").exists()


def test_an_engine_that_cannot_be_started_is_an_error_when_it_is_taken() -> None:
    with EngineAhead(("/nothing/here",)) as ahead:
        ahead.begin()
        with pytest.raises(Environment):
            ahead.take()
