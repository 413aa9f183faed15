"""What several tests need: a `tc` to call, a home with the sample in it, a dataset that takes a while."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from tests.drivers.shared import made_once
from tests.drivers.tc import FIRST_DAY, Tc, forks_of_tc, long_candles
from tests.schedule import ModuleScheduling, order

settings.register_profile("opslab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("opslab")  # how long an example takes is the machine's load, and no property of the product


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[None]:
    with forks_of_tc():
        yield


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with btcusdt-sample prepared. Copy it before changing anything."""
    return made_once(
        tmp_path_factory, "sample-home", lambda home: Tc(home).ok("data", "prepare", "--dataset", "btcusdt-sample")
    )


@pytest.fixture
def tc(sample_home: Path, tmp_path: Path) -> Tc:
    """`tc` in a home of its own that has the sample."""
    home = tmp_path / "home"
    shutil.copytree(sample_home, home)
    return Tc(home)


@pytest.fixture(scope="session")
def _finished_run(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished backtest with orders, `r1`: `order_lifecycle_demo` on the sample's first day."""

    def make(home: Path) -> None:
        (home / "data").symlink_to(sample_home / "data")
        tc = Tc(home)
        tc.ok("run", "backtest", "--spec", tc.spec(strategy="order_lifecycle_demo", data=FIRST_DAY), "--run-id", "r1")

    return made_once(tmp_path_factory, "finished-run", make) / "artifacts/runs/r1"


@pytest.fixture
def finished_run(tc: Tc, _finished_run: Path) -> Path:
    """In the home of `tc`, the folder of a finished backtest with orders, `r1`."""
    folder = tc.run_folder("r1")
    shutil.copytree(_finished_run, folder)
    return folder


@pytest.fixture
def bare_tc(tmp_path: Path) -> Tc:
    """`tc` in an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    return Tc(home)


@pytest.fixture(scope="session")
def long_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with `long`: two million candles, some seconds of backtest."""

    def make(home: Path) -> None:
        csv = long_candles(home / "long.csv", rows=2_000_000)
        Tc(home).ok("data", "import", str(csv), "--dataset", "long")
        csv.unlink()

    return made_once(tmp_path_factory, "long-home", make)


@pytest.fixture
def long_tc(long_home: Path, tmp_path: Path) -> Callable[[], Tc]:
    """`tc` in a home of its own that has `long`."""
    home = tmp_path / "long"
    home.mkdir()
    (home / "data").symlink_to(long_home / "data")
    return lambda: Tc(home)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        order(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ModuleScheduling | None:
    """Our groups with `--dist loadgroup`."""
    return ModuleScheduling(config, log) if config.getoption("dist") == "loadgroup" else None
