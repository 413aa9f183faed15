"""Check candles against the quality rules without importing them: files, or a prepared dataset."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from opslab.datasets.candles import Chunk
from opslab.datasets.catalog import read_chunks
from opslab.datasets.dataset_records import read_record
from opslab.datasets.quality.findings import QualityFinding, QualityFindings
from opslab.datasets.quality.inspector import Inspector
from opslab.datasets.quality.series import name_claims
from opslab.datasets.sources.csv_source import read_line_by_line
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
    """The files that were checked, and the findings. Times are open times; None: there were no candles."""

    files: tuple[str, ...]
    rows: int
    first_open: str | None
    last_open: str | None
    findings: QualityFindings

    @property
    def valid(self) -> bool:
        """Whether there are no errors; warnings and infos do not count."""
        return not self.findings.of_severity("error")

    def as_dict(self) -> dict[str, object]:
        return {
            "files": list(self.files),
            "rows": self.rows,
            "first_open": self.first_open,
            "last_open": self.last_open,
            "valid": self.valid,
            "counts": self.findings.counts,
            "findings": [finding.as_dict() for finding in self.findings.in_file_order()],
        }


def check_files(paths: Sequence[Path], reading: SourceOptions, instrument: Instrument, tick: Progress) -> QualityReport:
    """Check candle files, in the order of their first candles. Raises NotFound; BadData if there are no candles."""
    sources = describe_files(paths, reading)
    unreadable = QualityFindings()
    inspector = Inspector(instrument)
    for source in sources:
        inspector.expect_file(source.name, source.first_line, name_claims(source.path))
    report = _check(_readable(sources, unreadable), inspector, tick, estimated_rows(sources))
    for finding in unreadable.listed:
        report.findings.add(finding)
    for rule, count in unreadable.counts.items():
        listed = sum(finding.rule == rule for finding in unreadable.listed)
        report.findings.count(rule, count - listed)
    return QualityReport(
        tuple(source.name for source in sources), report.rows, report.first_open, report.last_open, report.findings
    )


def check_dataset(layout: Layout, dataset: DatasetId, instrument: Instrument, tick: Progress) -> QualityReport:
    """Check the stored candles of a prepared dataset. Raises NotFound, Corrupt."""
    record = read_record(layout, dataset)
    return _check(read_chunks(layout, dataset), Inspector(instrument), tick, record.rows)


def estimated_rows(sources: Sequence[Source]) -> int | None:
    """Approximate number of candles; None if it is unknown for one of the files."""
    estimates = [source.estimated_rows for source in sources]
    return None if None in estimates else sum(rows for rows in estimates if rows)


def _readable(sources: Sequence[Source], findings: QualityFindings) -> Iterator[Chunk]:
    """All readable chunks of all files; adds a finding for what cannot be read, and goes on."""
    for source in sources:
        try:
            yield from chunks(source)
        except MalformedSource as error:
            if error.next_line is None:
                for finding in error.findings:
                    findings.add(finding)
                continue
            for item in read_line_by_line(source, error.next_line):
                if isinstance(item, QualityFinding):
                    findings.add(item)
                else:
                    yield item


def _check(all_chunks: Iterator[Chunk], inspector: Inspector, tick: Progress, total: int | None) -> QualityReport:
    rows = 0
    first: int | None = None
    last: int | None = None
    files: dict[str, None] = {}
    with closing(read_ahead(all_chunks)) as prefetched:
        for chunk in prefetched:
            if not chunk.batch.num_rows:
                continue
            inspector.inspect(chunk)
            files[chunk.origin.location(0)[0]] = None
            times = chunk.batch.column("open_time")
            first = times[0].as_py() if first is None else first
            last = times[-1].as_py()
            rows += chunk.batch.num_rows
            tick(chunk.batch.num_rows, total)
    span = (iso_minute(first) if first is not None else None, iso_minute(last) if last is not None else None)
    return QualityReport(tuple(files), rows, *span, inspector.finish())
