"""usage: sha256_columns.py BARS_FOLDER

The yardstick of a fingerprint: read a dataset's columns and digest their buffers.
"""

import hashlib
import sys
from pathlib import Path

import pyarrow.parquet as pq

_COLUMNS = ["ts_event", "open", "high", "low", "close", "volume"]


def main(folder: str) -> None:
    for path in sorted(Path(folder).glob("*.parquet")):
        table = pq.read_table(path, columns=_COLUMNS, partitioning=None)
        for name in _COLUMNS:
            hasher = hashlib.sha256()
            for chunk in table.column(name).chunks:
                hasher.update(memoryview(chunk.buffers()[1]))
            print(name, hasher.hexdigest())


if __name__ == "__main__":
    main(sys.argv[1])
