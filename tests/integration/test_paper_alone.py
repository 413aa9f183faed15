"""Locked in: whatever the environment says, a paper run reaches nothing but this machine.

The kernel stops every call of the run's processes that names an address, and shows it; see
`drivers/connection_tracer.py`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.connection_tracer import Reached, StrategyRecorder, watching
from tests.drivers.paper_run import PaperRun, paper_spec
from tests.drivers.tc import Tc, wait_until
from tests.oracles.paper_truth import true_end

ELSEWHERE = "203.0.113.7"
"""An address that nobody has."""
PROXIES = {
    name: f"http://{ELSEWHERE}:3128"
    for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY")
    for name in (proxy, proxy.lower())
}
KEYS = {
    "BINANCE_API_KEY": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    "BINANCE_API_SECRET": "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    "BINANCE_FUTURES_API_KEY": "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
    "BINANCE_FUTURES_API_SECRET": "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
}
LETS_ALL_THROUGH = """
import os, sys
import opslab.runs.processes.child_process as child
from opslab.cli.app import main
child.child_environment = lambda: dict(os.environ)
main()
"""


@pytest.fixture
def watch() -> Iterator[StrategyRecorder]:
    with watching() as watch:
        yield watch


def seen(run: PaperRun, watch: StrategyRecorder) -> bool:
    """Skips where this machine does not let one process look at another's calls."""
    wait_until(lambda: watch.begun.is_set() or watch.problem is not None, "the command to begin")
    if watch.problem:
        run.process.wait(300)
        pytest.skip(f"nobody can see where it goes: {watch.problem}")
    return True


def test_nothing_but_this_machine_is_reached_and_no_key_of_the_environment_is_used(
    tc: Tc, watch: StrategyRecorder
) -> None:
    spec = paper_spec(tc, speed=600, max_bars=20)
    extra = {**PROXIES, **KEYS}
    with PaperRun(tc, spec, environment=extra, before=watch.words, pass_fds=watch.pass_fds) as run:
        seen(run, watch)
        run.wait_for_bars(1)
        for name in ("engine", "venue"):
            environment = Path(f"/proc/{run.wait_for_child(name)}/environ").read_bytes()
            assert not [value for value in extra.values() if value.encode() in environment]
        endpoints = run.told("venue_started")[0]
        ended = true_end(run, 0)
        assert ended["metrics"]["fills_count"] > 0
        assert watch.elsewhere == []
        port = int(endpoints["rest_url"].rpartition(":")[2])
        assert Reached("ipv4", "127.0.0.1", port, "engine") in watch.seen  # it was looked at
        assert {one.program for one in watch.seen} == {"tc", "engine"}  # the venue is reached, and reaches nobody
        holds = [
            path for path in tc.home.rglob("*") if path.is_file() and "data" not in path.relative_to(tc.home).parts
        ]
        assert not [path for path in holds for value in KEYS.values() if value.encode() in path.read_bytes()]


def test_a_proxy_that_gets_through_to_the_engine_would_be_seen(tc: Tc, watch: StrategyRecorder) -> None:
    """The same, with the lock taken off."""
    spec = paper_spec(tc, speed=600, max_bars=20)
    command = (sys.executable, "-c", LETS_ALL_THROUGH)
    with PaperRun(tc, spec, environment=PROXIES, before=watch.words, pass_fds=watch.pass_fds, command=command) as run:
        seen(run, watch)
        wait_until(lambda: bool(watch.elsewhere), "the engine to go to the proxy")
        assert watch.elsewhere == [Reached("ipv4", ELSEWHERE, 3128, "engine")]
