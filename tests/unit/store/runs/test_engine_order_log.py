"""Rows, order reports and discarded folders after a killed control process."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from opslab.errors import Environment
from opslab.store.files import discard_folder
from opslab.store.runs.engine_order_log import NAME, EngineOrderLog, is_intact
from opslab.store.runs.owner import held, is_held
from opslab.store.runs.run_folders import RowsFile, clear_temporary_files, count_rows, remove_unfinished

MADE = {"type": "OrderInitialized", "client_order_id": "O-1", "strategy_id": "S", "ts_event": 1}


def killed_behind(code: str, folder: Path) -> None:
    """A process that does this and is killed."""
    program = f"import os, signal\nfrom pathlib import Path\nfolder = Path({str(folder)!r})\n{code}\n"
    done = subprocess.run([sys.executable, "-c", f"{program}os.kill(os.getpid(), signal.SIGKILL)"], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("then", "kept"), [("rows.flush()", 3), ("", 0)])
def test_flushed_rows_survive_their_process(tmp_path: Path, then: str, kept: int) -> None:
    killed_behind(
        "from opslab.store.runs.run_folders import RowsFile\n"
        "rows = RowsFile(folder, 'bars')\n"
        f"for number in range(3): rows.add({{'number': number}})\n{then}\n",
        tmp_path,
    )
    clear_temporary_files(tmp_path)
    assert count_rows(tmp_path, "bars") == kept
    assert [path.name for path in tmp_path.iterdir()] == (["partial-bars.jsonl"] if kept else [])


def test_rows_are_counted_under_either_name(tmp_path: Path) -> None:
    assert count_rows(tmp_path, "bars") == 0
    rows = RowsFile(tmp_path, "bars")
    rows.add({"number": 1})
    rows.commit()
    assert count_rows(tmp_path, "bars") == 1


def test_only_unfinished_results_are_removed(tmp_path: Path) -> None:
    for name in (".orders.jsonl.tmp", "partial-orders.jsonl", "partial-bars.jsonl", "orders.jsonl"):
        (tmp_path / name).write_text("{}\n")
    remove_unfinished(tmp_path, ["orders"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["orders.jsonl", "partial-bars.jsonl"]


def test_order_reports_survive_control_and_are_intact(tmp_path: Path) -> None:
    assert not is_intact(tmp_path)
    killed_behind(
        f"from opslab.store.runs.engine_order_log import EngineOrderLog\nEngineOrderLog(folder).order_event({MADE})",
        tmp_path,
    )
    assert is_intact(tmp_path)
    with EngineOrderLog(tmp_path) as orders:
        assert [order.client_order_id for order in orders.never_at_venue()] == ["O-1"]


@pytest.mark.parametrize("bytes_kept", [0, 50, 5_000])
def test_a_damaged_order_log_is_not_intact(tmp_path: Path, bytes_kept: int) -> None:
    with EngineOrderLog(tmp_path) as orders:
        orders.order_event(MADE)
    (path,) = tmp_path.glob("*.sqlite")
    path.write_bytes(path.read_bytes()[:bytes_kept] + os.urandom(4096))
    assert not is_intact(tmp_path)


def test_a_folder_is_discarded_atomically_with_remains_of_an_earlier_discard(tmp_path: Path) -> None:
    folder, left = tmp_path / "x", tmp_path / ".staging-x-gone"
    for target in (folder, left):
        (target / "deep").mkdir(parents=True)
    discard_folder(folder)
    assert list(tmp_path.iterdir()) == []
    left.mkdir()
    discard_folder(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_stays_locked_while_an_inheriting_child_lives(tmp_path: Path) -> None:
    with held(tmp_path, Environment("held")) as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=(descriptor,)
        )
    try:
        assert is_held(tmp_path)
        with pytest.raises(Environment, match="another"), held(tmp_path, Environment("another")):
            pass
    finally:
        child.communicate()
    assert not is_held(tmp_path)


def test_a_log_of_another_version_is_not_intact(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / NAME) as file:
        file.execute("create table orders (number integer, client_order_id text, venue_order_id text, ts_created)")
    file.close()
    assert not is_intact(tmp_path)


def test_the_ids_that_a_strategy_chose_are_known_to_the_next_engine(tmp_path: Path) -> None:
    generated = "O-20261121-204553-001-001-1"
    with EngineOrderLog(tmp_path) as orders:
        for name, more in ((generated, {}), ("mine-1", {}), ("venue_1", {"reconciliation": True})):
            orders.order_event({**MADE, "client_order_id": name, **more})
        assert list(orders.ids_of_strategy()) == ["mine-1"]
