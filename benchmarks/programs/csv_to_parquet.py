"""usage: csv_to_parquet.py CSV [PARQUET]

The yardstick of an import, and without PARQUET of a check: read the columns with the lab's types, without any check.
"""

import sys

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

_NUMBER = pa.decimal128(38, 16)
_TYPES = {"open_time": pa.int64(), **dict.fromkeys(("open", "high", "low", "close", "volume"), _NUMBER)}


def main(source: str, target: str | None = None) -> None:
    table = pacsv.read_csv(source, convert_options=pacsv.ConvertOptions(column_types=_TYPES))
    if target:
        pq.write_table(table, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
