"""What is known of a prepared dataset."""

from typing import Literal

from opslab.model.primitives.record import Record


class SourceFile(Record):
    """A file that candles were read from, as it was then. Name without its folder."""

    name: str
    size_bytes: int
    digest: str
    rows: int
    time_unit: Literal["s", "ms", "us", "ns"]
    header: bool


class Repairs(Record):
    """What was asked for, and done, to the candles on their way in."""

    sorted: bool = False
    dropped_identical: int = 0
    """Candles left out because they repeated the one before."""


class DataFile(Record):
    """A file of the dataset; `path` is relative to the dataset's folder."""

    path: str
    size_bytes: int
    digest: str


class DatasetRecord(Record):
    """`dataset.json`. Times are candle open times, UTC."""

    dataset_version: Literal["v1"] = "v1"
    name: str
    kind: Literal["synthetic", "imported"]
    description: str
    instrument_id: str
    bar_type: str
    rows: int
    first_open: str
    last_open: str
    fingerprint: str
    price_decimals: int
    size_decimals: int
    findings: dict[str, int]
    """Rule to count, of every severity; see docs/data.md."""
    allowed: tuple[str, ...]
    """Rules among them that are errors and were allowed by name. Part of the fingerprint."""
    repairs: Repairs
    label: Literal["open", "close"]
    """What the sources' timestamps were."""
    columns: dict[str, str]
    """Our column names to the sources', where they were given."""
    sources: tuple[SourceFile, ...]
    files: tuple[DataFile, ...]
    prepared_at: str


class FingerprintRecord(Record):
    """`data/fingerprints/<dataset>.json`: what the content was when the dataset was made, kept outside of it."""

    dataset: str
    fingerprint: str
    rows: int
    recorded_at: str
