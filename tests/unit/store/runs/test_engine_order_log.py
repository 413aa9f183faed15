"""Rows, order reports and discarded folders after a killed control process."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from opslab.errors import Environment
from opslab.model.run.run_counters import OrderCounters
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


def event(kind: str, name: str = "O-1", **more: object) -> dict[str, object]:
    return {"type": kind, "client_order_id": name, "strategy_id": "S", "ts_event": 1, **more}


def made(name: str = "O-1", quantity: str = "1.0", **more: object) -> dict[str, object]:
    return event("OrderInitialized", name, quantity=quantity, **more)


def filled(quantity: str, name: str = "O-1", **more: object) -> dict[str, object]:
    return event("OrderFilled", name, last_qty=quantity, **more)


SENT = event("OrderSubmitted")


def again(event: dict[str, object]) -> dict[str, object]:
    """As a later engine reports it, from what the venue has."""
    return {**event, "reconciliation": True}


@pytest.mark.parametrize(
    ("events", "counters"),
    [
        ([made(), SENT, filled("0.4")], {"submitted": 1, "fills": 1}),
        ([made(), SENT, filled("0.4"), filled("0.6")], {"submitted": 1, "fills": 2, "filled": 1}),
        (
            [made(), SENT, event("OrderUpdated", quantity="0.4"), filled("0.4")],
            {"submitted": 1, "fills": 1, "filled": 1},
        ),
        ([made(), event("OrderDenied")], {"denied": 1}),
        ([made(), SENT, event("OrderRejected")], {"submitted": 1, "rejected": 1}),
        ([made(), SENT, filled("0.4"), event("OrderCanceled")], {"submitted": 1, "fills": 1, "canceled": 1}),
        ([made(), SENT, event("OrderExpired")], {"submitted": 1, "expired": 1}),
        ([made(), SENT, SENT, event("OrderPendingCancel"), event("OrderCancelRejected")], {"submitted": 1}),
        ([event("OrderFilled", last_qty="1"), event("OrderCanceled")], {}),
    ],
)
def test_orders_are_counted_by_outcome(
    tmp_path: Path, events: list[dict[str, object]], counters: dict[str, int]
) -> None:
    with EngineOrderLog(tmp_path) as orders:
        for each in events:
            orders.order_event(each)
        assert orders.counters() == OrderCounters(**counters)
    with EngineOrderLog(tmp_path) as orders:
        assert orders.counters() == OrderCounters(**counters), "as read again"


def test_what_a_later_engine_reports_again_is_not_counted_twice(tmp_path: Path) -> None:
    with EngineOrderLog(tmp_path) as orders:
        for each in (made(), SENT, filled("0.4"), made("O-2"), event("OrderSubmitted", "O-2"), filled("1.0", "O-2")):
            orders.order_event(each)
        before = orders.counters()
        for each in (
            *(again(made()), again(event("OrderAccepted")), again(filled("0.4"))),
            *(again(made("O-2")), again(event("OrderAccepted", "O-2")), again(filled("1.0", "O-2"))),
        ):
            orders.order_event(each)
        assert orders.counters() == before == OrderCounters(submitted=2, fills=2, filled=1)
        orders.order_event(filled("0.6"))
        assert orders.counters() == OrderCounters(submitted=2, fills=3, filled=2)


def test_an_order_that_ended_while_no_engine_ran_has_its_outcome_and_no_fill(tmp_path: Path) -> None:
    """The fill is inferred: the ledger has what it was."""
    with EngineOrderLog(tmp_path) as orders:
        for each in (made(), SENT, filled("0.4"), again(made()), again(filled("1.0"))):
            orders.order_event(each)
        assert orders.counters() == OrderCounters(submitted=1, fills=1, filled=1)


def test_orders_of_others_are_not_counted(tmp_path: Path) -> None:
    with EngineOrderLog(tmp_path) as orders:
        for each in (again(made()), again(event("OrderAccepted")), filled("1.0"), again(made("O-2"))):
            orders.order_event(each)
        orders.order_event(event("OrderCanceled", "O-2"))
        assert orders.counters() == OrderCounters()


def test_an_order_that_ends_twice_is_counted_at_its_first_end(tmp_path: Path) -> None:
    with EngineOrderLog(tmp_path) as orders:
        for each in (made(), SENT, event("OrderRejected"), event("OrderCanceled"), filled("1.0")):
            orders.order_event(each)
        assert orders.counters() == OrderCounters(submitted=1, rejected=1, fills=1)
