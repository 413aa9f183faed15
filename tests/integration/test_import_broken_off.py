"""An aborted import leaves nothing: after Ctrl-C, a kill, or a full disk."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drivers.tc import Tc, long_candles, wait_until


@pytest.fixture(scope="module")
def big_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return long_candles(tmp_path_factory.mktemp("big") / "big.csv", rows=3_000_000)


def staging(tc: Tc) -> list[Path]:
    return list(tc.home.glob("data/datasets/.staging-*"))


def writing_started(tc: Tc) -> bool:
    return any(path.stat().st_size for folder in staging(tc) for path in folder.rglob("*.parquet"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_import_leaves_nothing(bare_tc: Tc, big_csv: Path, number: int) -> None:
    process = bare_tc.start("data", "import", str(big_csv), "--dataset", "big")
    wait_until(lambda: writing_started(bare_tc), "the first candles to be written")
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert list((bare_tc.home / "data/datasets").iterdir()) == []
    assert bare_tc.json("data", "list")["datasets"] == []


def test_the_next_command_removes_a_killed_import(bare_tc: Tc, big_csv: Path) -> None:
    process = bare_tc.start("data", "import", str(big_csv), "--dataset", "big")
    wait_until(lambda: writing_started(bare_tc), "the first candles to be written")
    process.kill()
    process.communicate(timeout=300)
    assert staging(bare_tc)
    assert bare_tc.json("data", "list")["datasets"] == []
    bare_tc.ok("data", "prepare", "--dataset", "btcusdt-sample")
    assert not staging(bare_tc)


def limited(size_bytes: int, tc: Tc, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `tc` with a limit on the size of files: a simulated full disk, without root."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    return subprocess.run(
        [sys.executable, "-m", "opslab", *words],
        cwd=tc.home,
        env=tc.environment(),
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_full_disk_in_the_middle_of_an_import_leaves_nothing(bare_tc: Tc, big_csv: Path) -> None:
    done = limited(20_000, bare_tc, "data", "import", str(big_csv), "--dataset", "big")
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("tc: error: ") == 1
    assert list((bare_tc.home / "data/datasets").iterdir()) == []


def test_a_full_disk_in_the_middle_of_a_run_is_one_clear_error(tc: Tc) -> None:
    spec = tc.spec(strategy="order_lifecycle_demo")
    done = limited(400_000, tc, "run", "backtest", "--spec", spec, "--run-id", "r1")
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("tc: error: ") == 1
    assert tc.json("run", "show", "r1")["status"] in ("failed", "interrupted")
    assert not [path for path in tc.run_folder("r1").iterdir() if path.name.startswith(".")]


def test_a_full_disk_before_a_run_leaves_its_name_free(tc: Tc) -> None:
    spec = tc.spec()
    done = limited(100, tc, "run", "backtest", "--spec", spec, "--run-id", "r1")
    assert done.returncode == 5, done.stderr
    assert not any(tc.home.glob("artifacts/runs/*"))
    assert tc.json("run", "backtest", "--spec", spec, "--run-id", "r1")["status"] == "completed"


def test_a_closed_pipe_is_not_an_error(tc: Tc) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "opslab", "spec", "schema"],
            stdout=out,
            stderr=subprocess.PIPE,
            env=tc.environment(),
            text=True,
            check=False,
        )
    assert done.stderr == ""
