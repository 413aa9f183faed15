"""Content digest of candles, independent of files, formats and batches.

Each column has a SHA-256 of its values in row order (open times as little-endian int64 milliseconds, numbers as
little-endian 128-bit integers scaled by 10^16); the fingerprint is the SHA-256 of a header and those six. Candles with
allowed errors differ from candles without errors: the header names the rules.
"""

import hashlib
from collections.abc import Iterable

import pyarrow as pa

from opslab.datasets.candles import CANDLES
from opslab.model.primitives.canonical import DIGEST_PREFIX

_WIDTH_BYTES = {"open_time": 8}
_NUMBER_BYTES = 16


class Fingerprint:
    """Call `update` with batches of CANDLES in order, then `digest`."""

    def __init__(self, bar_type: str) -> None:
        self._bar_type = bar_type
        self._columns = {name: hashlib.sha256() for name in CANDLES.names}
        self.rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        for name, hasher in self._columns.items():
            column = batch.column(name)
            width = _WIDTH_BYTES.get(name, _NUMBER_BYTES)
            start = column.offset * width
            hasher.update(memoryview(column.buffers()[1])[start : start + len(column) * width])
        self.rows += batch.num_rows

    def digest(self, allowed: Iterable[str] = ()) -> str:
        """allowed: the rules that these candles violate and that were allowed."""
        head = f"opslab candles v1\n{self._bar_type}\n{self.rows}\n"
        head += "".join(f"allowed {rule}\n" for rule in sorted(allowed))
        body = "".join(f"{name} {hasher.hexdigest()}\n" for name, hasher in self._columns.items())
        return DIGEST_PREFIX + hashlib.sha256((head + body).encode()).hexdigest()
