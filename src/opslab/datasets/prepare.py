"""From sources to a committed dataset: one pass, checked, written and fingerprinted batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from opslab.datasets.catalog import CatalogWriter
from opslab.datasets.csv_diagnosis import diagnose
from opslab.datasets.csv_source import BLOCK_BYTES, CsvSource, batches, look_at
from opslab.datasets.fingerprint import Fingerprint
from opslab.datasets.quality import KEPT_PER_RULE, Findings, Inspector
from opslab.datasets.records import record_of, verify_files, write_fingerprint, write_record
from opslab.datasets.shipped import SHIPPED, generate
from opslab.errors import AlreadyExists, BadData, Corrupt, LabError, NotFound, Usage
from opslab.model.dataset import DatasetRecord, SourceFile
from opslab.model.ids import DatasetId, nearest
from opslab.model.instant import iso, iso_minute
from opslab.model.instrument import Instrument
from opslab.ports import Clock, Tick
from opslab.store.files import file_digest, staged_folder
from opslab.store.layout import Layout

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Prepared:
    record: DatasetRecord
    fresh: bool
    """False when the dataset was there already, and is whole."""


def prepare_shipped(layout: Layout, dataset: DatasetId, instrument: Instrument, clock: Clock) -> Prepared:
    """Make a shipped dataset, or check the one that is there. Raises NotFound, Corrupt, Unwritable."""
    shipped = SHIPPED.get(dataset)
    if shipped is None:
        close = nearest(dataset, SHIPPED, 1)
        guess = f" (did you mean {close[0]}?)" if close else ""
        hint = f"shipped: {', '.join(SHIPPED)}; your own candles: tc data import PATH... --dataset {dataset}"
        raise NotFound(f"no dataset {dataset} is shipped{guess}", hint=hint)
    if layout.dataset(dataset).exists():
        record = record_of(layout, dataset)
        verify_files(layout, record)
        if record.fingerprint != shipped.fingerprint:
            raise Corrupt(f"dataset {dataset} is there and is not the shipped one", hint="remove its folder")
        return Prepared(record, fresh=False)
    build = _Build(layout, dataset, instrument, clock)
    record = build.commit("synthetic", shipped.description, (), generate(shipped))
    if record.fingerprint != shipped.fingerprint:
        raise LabError(f"the generator of {dataset} made {record.fingerprint} instead of {shipped.fingerprint}")
    return Prepared(record, fresh=True)


def import_files(
    layout: Layout,
    dataset: DatasetId,
    paths: Sequence[Path],
    instrument: Instrument,
    clock: Clock,
    tick: Tick,
) -> Prepared:
    """Import candle files, ordered by their first candle. `tick` is called with the rows of each batch.

    Raises BadData with what was found, NotFound, AlreadyExists, Unwritable.
    """
    if dataset in SHIPPED:
        raise Usage(f"{dataset} is the name of a shipped dataset", hint="choose another name")
    if layout.dataset(dataset).exists():
        raise AlreadyExists(f"dataset {dataset} exists already", hint="choose another name, or remove its folder")
    sources = sorted((look_at(path) for path in paths), key=lambda source: source.first_open_ms)
    build = _Build(layout, dataset, instrument, clock)
    names = ", ".join(source.name for source in sources[:3]) + (", ..." if len(sources) > 3 else "")
    record = build.commit("imported", f"imported from {names}", sources, build.read(sources, tick))
    return Prepared(record, fresh=True)


class _Build:
    """One dataset in the making."""

    def __init__(self, layout: Layout, dataset: DatasetId, instrument: Instrument, clock: Clock) -> None:
        self._layout = layout
        self._dataset = dataset
        self._instrument = instrument
        self._clock = clock
        self._inspector = Inspector(instrument)
        self._rows: dict[Path, int] = {}

    def read(self, sources: Sequence[CsvSource], tick: Tick) -> Iterator[pa.RecordBatch]:
        """All candles of all files, inspected; a file that cannot be read ends it with its bad lines named."""
        estimate: int | None = None
        for source in sources:
            line = source.first_line
            try:
                for batch in batches(source):
                    self._inspector.inspect(batch, source.name, line)
                    line += batch.num_rows
                    estimate = estimate or _estimate(sources, batch.num_rows)
                    tick(batch.num_rows, estimate)
                    yield batch
            except (pa.ArrowInvalid, EOFError, OSError) as error:
                if isinstance(error, OSError) and error.errno:
                    raise
                for finding in diagnose(source, str(error)):
                    self._inspector.findings.add(finding)
                raise refusal(self._inspector.findings) from None
            self._rows[source.path] = line - source.first_line

    def commit(
        self, kind: str, description: str, sources: Sequence[CsvSource], candles: Iterator[pa.RecordBatch]
    ) -> DatasetRecord:
        fingerprint = Fingerprint(self._instrument.bar_type)
        with staged_folder(self._layout.dataset(self._dataset), f"dataset {self._dataset}") as folder:
            writer = CatalogWriter(folder, self._instrument)
            try:
                for batch in candles:
                    if not self._inspector.findings.total:
                        writer.write(batch)
                        fingerprint.update(batch)
            except BaseException:
                writer.abandon()
                raise
            files = writer.close()
            if self._inspector.findings.total:
                raise refusal(self._inspector.findings)
            if writer.first_ms is None or writer.last_ms is None:
                raise BadData("no candles were found")
            record = DatasetRecord.model_validate(
                {
                    "name": str(self._dataset),
                    "kind": kind,
                    "description": description,
                    "instrument_id": self._instrument.instrument_id,
                    "bar_type": self._instrument.bar_type,
                    "rows": fingerprint.rows,
                    "first_open": iso_minute(writer.first_ms),
                    "last_open": iso_minute(writer.last_ms),
                    "fingerprint": fingerprint.digest(),
                    "price_decimals": self._instrument.price_decimals,
                    "size_decimals": self._instrument.size_decimals,
                    "sources": tuple(self._source_record(source) for source in sources),
                    "files": files,
                    "prepared_at": iso(self._clock.now_ns()),
                }
            )
            write_record(folder, record)
        write_fingerprint(self._layout, record)
        return record

    def _source_record(self, source: CsvSource) -> SourceFile:
        return SourceFile(
            name=source.name,
            size_bytes=source.path.stat().st_size,
            digest=file_digest(source.path),
            rows=self._rows[source.path],
            time_unit=source.time_unit,
            header=source.header,
        )


def _estimate(sources: Sequence[CsvSource], rows_of_a_block: int) -> int | None:
    """About how many rows there are, from the rows of one block; None while the files' text size is not known."""
    sizes = [source.text_bytes for source in sources if source.text_bytes]
    if len(sizes) < len(sources) or sum(sizes) < BLOCK_BYTES:
        return None
    return sum(sizes) * rows_of_a_block // BLOCK_BYTES


def refusal(findings: Findings) -> BadData:
    """Why these candles are not taken, with the first findings of each rule."""
    counts = dict(sorted(findings.counts.items()))
    summary = ", ".join(f"{count} x {rule}" for rule, count in counts.items())
    files = {name: place for place, name in enumerate(dict.fromkeys(finding.file for finding in findings.kept))}
    kept = sorted(findings.kept, key=lambda finding: (files[finding.file], finding.line))
    lines = [finding.text() for finding in kept[:_SHOWN]]
    rest = findings.total - len(lines)
    if rest > 0:
        lines.append(f"... and {rest} more (--json lists the first {KEPT_PER_RULE} of each rule)")
    return BadData(
        f"the candles have errors and were not imported: {summary}",
        lines=lines,
        findings=[finding.as_dict() for finding in kept],
        counts=counts,
        hint="correct the files at their source; nothing is repaired silently",
    )
