"""What the largest snapshots cost."""

import tracemalloc

from opslab.reconciliation.document import MAX_BYTES
from opslab.reconciliation.snapshot import MAX_ROWS, read_snapshot
from tests.unit.reconciliation.accounts import compared, encoded, whole

ORDER = whole()["open_orders"][0]
ASSET = whole()["balances"][0]


def test_the_most_rows_of_all_parts_are_read_and_compared() -> None:
    orders = [{**ORDER, "client_order_id": f"A-{number}"} for number in range(MAX_ROWS)]
    assets = [{**ASSET, "asset": f"C{number}"} for number in range(MAX_ROWS)]
    full = whole(open_orders=orders, balances=assets)
    findings = compared(full, full)
    assert len(findings) > 10 * MAX_ROWS
    assert {one.state for one in findings} == {"ok"}


def test_a_hostile_file_takes_no_more_memory_than_an_honest_one() -> None:
    for data in (b"[" + b"1," * (MAX_BYTES // 2 - 2) + b"1]", b"[" * MAX_BYTES, b'["' + b"x" * (MAX_BYTES - 4) + b'"]'):
        tracemalloc.start()
        assert read_snapshot(data)[0] is None
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20 * MAX_BYTES
    assert read_snapshot(encoded(whole()))[0]
