"""Records of a prepared dataset."""

from typing import Literal

from opslab.model.primitives.record import Record


class SourceFile(Record):
    """A source file of the candles, at the time of import. Name without its folder."""

    name: str
    size_bytes: int
    digest: str
    rows: int
    time_unit: Literal["s", "ms", "us", "ns"]
    header: bool


class Repairs(Record):
    """Repairs of the candles that were requested and made during the import."""

    sorted: bool = False
    dropped_identical: int = 0
    """Number of dropped candles that were identical to the previous one."""
    rounded_prices: int = 0
    """Number of candles with a price that was rounded to the tick."""
    rounded_volumes: int = 0
    """Number of candles whose volume was rounded to the lot."""


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
    """Rule to number of findings, of every severity; see docs/data.md."""
    allowed: tuple[str, ...]
    """Error rules among them that were allowed by name. Part of the fingerprint."""
    repairs: Repairs
    market: Literal["spot"] | None = None
    """`spot`: the candles are those of the spot market; None: nothing says so."""
    label: Literal["open", "close"]
    """Meaning of the sources' timestamps: open or close time."""
    columns: dict[str, str]
    """Our column names to the sources' column names, where these were given."""
    sources: tuple[SourceFile, ...]
    files: tuple[DataFile, ...]
    prepared_at: str


class FingerprintRecord(Record):
    """`data/fingerprints/<dataset>.json`: fingerprint of the content at creation, stored outside of the dataset."""

    dataset: str
    fingerprint: str
    rows: int
    recorded_at: str
