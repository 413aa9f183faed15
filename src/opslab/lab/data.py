"""Candle datasets: prepare, import, check and list. Loads pyarrow only for candles."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opslab.context import Context
from opslab.datasets.dataset_records import list_datasets, read_record
from opslab.datasets.quality.findings import summary
from opslab.datasets.quality.rules import RULES
from opslab.errors import Usage
from opslab.model.primitives.ids import DatasetId, shown

if TYPE_CHECKING:
    from opslab.datasets.catalog import FingerprintCheck
    from opslab.datasets.check import QualityReport
    from opslab.datasets.prepare import ImportOptions, PreparedDataset
    from opslab.datasets.sources.source import SourceOptions
    from opslab.model.market.instrument import Instrument
    from opslab.ports import Progress

__all__ = [
    "RULES",
    "FingerprintCheck",
    "ImportOptions",
    "PreparedDataset",
    "QualityReport",
    "SourceOptions",
    "check_dataset",
    "check_files",
    "check_fingerprint",
    "import_candles",
    "import_options",
    "list_datasets",
    "prepare",
    "read_record",
    "source_options",
    "summary",
]


def prepare(context: Context, dataset: DatasetId) -> "PreparedDataset":
    """Prepare a shipped dataset."""
    from opslab.datasets.prepare import prepare_shipped

    return prepare_shipped(context, dataset, _instrument())


def import_candles(
    context: Context, dataset: DatasetId, paths: Sequence[Path], options: "ImportOptions", tick: "Progress"
) -> "PreparedDataset":
    """tick: called with the rows of each batch."""
    from opslab.datasets.prepare import import_files

    return import_files(context, dataset, paths, _instrument(), options, tick)


def import_options(
    source: "SourceOptions", allow: Sequence[str], sort: bool, drop_identical: bool, rounds: bool
) -> "ImportOptions":
    """allow: values of `--allow`. Raises Usage for a rule that cannot be allowed."""
    from opslab.datasets.prepare import ImportOptions, allowed_rules

    return ImportOptions(source, allowed_rules(allow), sort, drop_identical, rounds)


def source_options(columns: Sequence[str], timestamp: str) -> "SourceOptions":
    """The values of `--column` and `--timestamp`. Raises Usage."""
    from opslab.datasets.candles import CANDLES
    from opslab.datasets.sources.source import CLOSE_TIME, SourceOptions

    if timestamp not in ("open", "close"):
        raise Usage(f"--timestamp must be open or close, got {shown(timestamp, 40)}")
    known = [*CANDLES.names, CLOSE_TIME]
    mapping: dict[str, str] = {}
    for text in columns:
        ours, equals, theirs = text.partition("=")
        if ours not in known or not equals or not theirs or ours in mapping:
            raise Usage(f"--column {shown(text, 60)} is not OURS=THEIRS", hint=f"ours, each once: {', '.join(known)}")
        mapping[ours] = theirs
    return SourceOptions(mapping, _instrument().symbol, "close" if timestamp == "close" else "open")


def check_files(paths: Sequence[Path], reading: "SourceOptions", tick: "Progress") -> "QualityReport":
    """Check candle files against the quality rules."""
    from opslab.datasets import check

    return check.check_files(paths, reading, _instrument(), tick)


def check_dataset(context: Context, dataset: DatasetId, tick: "Progress") -> "QualityReport":
    """Check a prepared dataset against the quality rules."""
    from opslab.datasets import check

    return check.check_dataset(context.layout, dataset, _instrument(), tick)


def check_fingerprint(context: Context, dataset: DatasetId, tick: "Progress") -> "FingerprintCheck":
    """tick: called with the rows of each batch."""
    from opslab.datasets import catalog

    return catalog.check_fingerprint(context.layout, dataset, tick)


def _instrument() -> "Instrument":
    from opslab.model.market.instrument import instrument_of
    from opslab.resources import INSTRUMENT, exchange_info_symbol

    return instrument_of(exchange_info_symbol(INSTRUMENT))
