"""Cost of the largest snapshots."""

import tracemalloc

from opslab.reconciliation.document import MAX_BYTES
from opslab.reconciliation.snapshot import MAX_ROWS, read_snapshot
from tests.fakes.snapshot_documents import compare_documents, complete_document, encoded

ORDER = complete_document()["open_orders"][0]
ASSET = complete_document()["balances"][0]


def test_the_maximum_of_rows_is_read_and_compared() -> None:
    orders = [{**ORDER, "client_order_id": f"A-{number}"} for number in range(MAX_ROWS)]
    assets = [{**ASSET, "asset": f"C{number}"} for number in range(MAX_ROWS)]
    full = complete_document(open_orders=orders, balances=assets)
    findings = compare_documents(full, full)
    assert len(findings) > 10 * MAX_ROWS
    assert {finding.state for finding in findings} == {"ok"}


def test_a_hostile_file_needs_bounded_memory() -> None:
    for data in (b"[" + b"1," * (MAX_BYTES // 2 - 2) + b"1]", b"[" * MAX_BYTES, b'["' + b"x" * (MAX_BYTES - 4) + b'"]'):
        tracemalloc.start()
        assert read_snapshot(data)[0] is None
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20 * MAX_BYTES
    assert read_snapshot(encoded(complete_document()))[0]
