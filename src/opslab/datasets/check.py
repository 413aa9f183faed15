"""Candles held against the rules without taking them: files, or a prepared dataset."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from opslab.datasets.candles import Chunk
from opslab.datasets.catalog import read_chunks
from opslab.datasets.dataset_records import read_record
from opslab.datasets.quality.findings import QualityFinding, QualityFindings
from opslab.datasets.quality.inspector import Inspector
from opslab.datasets.sources.csv_source import line_by_line
from opslab.datasets.sources.prefetch import read_ahead
from opslab.datasets.sources.source import MalformedSource, Source, SourceOptions
from opslab.datasets.sources.source_files import chunks, describe_files
from opslab.model.market.instrument import Instrument
from opslab.model.primitives.ids import DatasetId
from opslab.model.primitives.instant import iso_minute
from opslab.ports import Progress
from opslab.store.layout import Layout


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What was looked at and what was found. Times are open times, None when there was nothing to read."""

    files: tuple[str, ...]
    rows: int
    first_open: str | None
    last_open: str | None
    findings: QualityFindings

    @property
    def valid(self) -> bool:
        """No errors; warnings and infos do not count."""
        return not self.findings.of_severity("error")

    def as_dict(self) -> dict[str, object]:
        return {
            "files": list(self.files),
            "rows": self.rows,
            "first_open": self.first_open,
            "last_open": self.last_open,
            "valid": self.valid,
            "counts": self.findings.counts,
            "findings": [found.as_dict() for found in self.findings.in_order()],
        }


def check_files(paths: Sequence[Path], reading: SourceOptions, instrument: Instrument, tick: Progress) -> QualityReport:
    """Check candle files, in the order of their first candles. Raises NotFound, BadData when there are no candles."""
    sources = describe_files(paths, reading)
    findings = QualityFindings()
    report = _check(_readable(sources, findings), instrument, tick, estimated_rows(sources))
    for found in findings.kept:
        report.findings.add(found)
    for rule, count in findings.counts.items():
        report.findings.count(rule, count - sum(found.rule == rule for found in findings.kept))
    return QualityReport(
        tuple(source.name for source in sources), report.rows, report.first_open, report.last_open, report.findings
    )


def check_dataset(layout: Layout, dataset: DatasetId, instrument: Instrument, tick: Progress) -> QualityReport:
    """Check the stored candles of a prepared dataset. Raises NotFound, Corrupt."""
    record = read_record(layout, dataset)
    return _check(read_chunks(layout, dataset), instrument, tick, record.rows)


def estimated_rows(sources: Sequence[Source]) -> int | None:
    """About how many candles there are; None when one file cannot be guessed."""
    guesses = [source.estimated_rows for source in sources]
    return None if None in guesses else sum(guess for guess in guesses if guess)


def _readable(sources: Sequence[Source], findings: QualityFindings) -> Iterator[Chunk]:
    """All chunks of all files; a file that breaks off is noted, and the next one is read."""
    for source in sources:
        try:
            yield from chunks(source)
        except MalformedSource as broken:
            if broken.next_line is None:
                for found in broken.findings:
                    findings.add(found)
                continue
            for thing in line_by_line(source, broken.next_line):
                if isinstance(thing, QualityFinding):
                    findings.add(thing)
                else:
                    yield thing


def _check(all_chunks: Iterator[Chunk], instrument: Instrument, tick: Progress, total: int | None) -> QualityReport:
    inspector = Inspector(instrument)
    rows = 0
    first: int | None = None
    last: int | None = None
    files: dict[str, None] = {}
    with closing(read_ahead(all_chunks)) as ahead:
        for chunk in ahead:
            if not chunk.batch.num_rows:
                continue
            inspector.inspect(chunk)
            files[chunk.origin.place(0)[0]] = None
            times = chunk.batch.column("open_time")
            first = times[0].as_py() if first is None else first
            last = times[-1].as_py()
            rows += chunk.batch.num_rows
            tick(chunk.batch.num_rows, total)
    span = (iso_minute(first) if first is not None else None, iso_minute(last) if last is not None else None)
    return QualityReport(tuple(files), rows, *span, inspector.end())
