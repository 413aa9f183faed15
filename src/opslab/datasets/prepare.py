"""Prepare datasets from candle sources in one pass: check, write and fingerprint batch by batch."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from opslab.context import Context
from opslab.datasets.candles import Chunk
from opslab.datasets.catalog import CatalogWriter
from opslab.datasets.check import estimated_rows
from opslab.datasets.dataset_records import read_record, verify_files, write_fingerprint, write_record
from opslab.datasets.fingerprint import Fingerprint
from opslab.datasets.quality.findings import MAX_LISTED_PER_RULE, QualityFindings, summary
from opslab.datasets.quality.inspector import Inspector
from opslab.datasets.quality.rules import ALLOWABLE, RULES
from opslab.datasets.quality.series import name_claims
from opslab.datasets.sources.prefetch import read_ahead
from opslab.datasets.sources.repairs import IdenticalDropper, Rounder, in_time_order
from opslab.datasets.sources.shipped import SHIPPED, generate
from opslab.datasets.sources.source import MalformedSource, Source, SourceOptions
from opslab.datasets.sources.source_files import chunks, describe_files
from opslab.errors import AlreadyExists, BadData, Corrupt, LabError, NotFound, Usage
from opslab.model.market.dataset import DatasetRecord, Repairs, SourceFile
from opslab.model.market.instrument import Instrument
from opslab.model.primitives.ids import DatasetId, nearest, shown
from opslab.model.primitives.instant import iso, iso_minute
from opslab.ports import Progress
from opslab.store.files import file_digest, staged_folder

_MAX_SHOWN = 12


@dataclass(frozen=True, slots=True)
class PreparedDataset:
    record: DatasetRecord
    created: bool
    """False: the dataset existed already, and is unchanged."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Explicit options; without them nothing is repaired and no error is accepted."""

    source: SourceOptions = field(default_factory=SourceOptions)
    allow: frozenset[str] = frozenset()
    sort: bool = False
    drop_identical: bool = False
    round: bool = False


def allowed_rules(names: Iterable[str]) -> frozenset[str]:
    """The rules of `--allow`. Raises Usage for a rule that is unknown, is not an error, or cannot be allowed."""
    for name in names:
        rule = RULES.get(name)
        if rule is None:
            close = nearest(name, ALLOWABLE, 1)
            guess = f" (did you mean {close[0]}?)" if close else ""
            raise Usage(f"unknown rule {shown(name)}{guess}", hint=f"can be allowed: {', '.join(ALLOWABLE)}")
        if rule.severity != "error":
            raise Usage(
                f"rule {name} is not an error: it needs no --allow", hint=f"can be allowed: {', '.join(ALLOWABLE)}"
            )
        if rule.not_allowed_reason:
            raise Usage(
                f"rule {name} cannot be allowed: {rule.not_allowed_reason}",
                hint=f"can be allowed: {', '.join(ALLOWABLE)}",
            )
    return frozenset(names)


def prepare_shipped(context: Context, dataset: DatasetId, instrument: Instrument) -> PreparedDataset:
    """Prepare a shipped dataset, or verify the existing one. Raises NotFound, Corrupt, Unwritable."""
    shipped = SHIPPED.get(dataset)
    if shipped is None:
        close = nearest(dataset, SHIPPED, 1)
        guess = f" (did you mean {close[0]}?)" if close else ""
        hint = f"shipped: {', '.join(SHIPPED)}; your own candles: tc data import PATH... --dataset {dataset}"
        raise NotFound(f"shipped dataset {dataset} not found{guess}", hint=hint)
    if context.layout.dataset(dataset).exists():
        record = read_record(context.layout, dataset)
        verify_files(context.layout, record)
        if record.fingerprint != shipped.fingerprint:
            raise Corrupt(f"dataset {dataset} exists and is not the shipped one", hint="remove its folder")
        return PreparedDataset(record, created=False)
    build = _Build(context, dataset, instrument, ImportOptions())
    record = build.commit("synthetic", shipped.description, (), build.inspected(generate(shipped)))
    if record.fingerprint != shipped.fingerprint:
        raise LabError(f"the generator of {dataset} returned {record.fingerprint} instead of {shipped.fingerprint}")
    return PreparedDataset(record, created=True)


def import_files(
    context: Context,
    dataset: DatasetId,
    paths: Sequence[Path],
    instrument: Instrument,
    options: ImportOptions,
    progress: Progress,
) -> PreparedDataset:
    """Import candle files and folders, ordered by their first candle.

    progress: called with the rows of each batch. Raises BadData with the findings, NotFound, AlreadyExists, Unwritable.
    """
    if dataset in SHIPPED:
        raise Usage(f"{dataset} is the name of a shipped dataset", hint="choose another name")
    if context.layout.dataset(dataset).exists():
        raise AlreadyExists(f"dataset {dataset} exists already", hint="choose another name, or remove its folder")
    sources = describe_files(paths, options.source)
    build = _Build(context, dataset, instrument, options)
    build.expect(sources)
    names = ", ".join(source.name for source in sources[:3]) + (", ..." if len(sources) > 3 else "")
    with closing(read_ahead(build.read(sources, progress))) as candles:
        ready = build.inspected(build.repaired(candles))
        return PreparedDataset(build.commit("imported", f"imported from {names}", sources, ready), created=True)


class _Build:
    """The preparation of one dataset."""

    def __init__(self, context: Context, dataset: DatasetId, instrument: Instrument, options: ImportOptions) -> None:
        self._layout = context.layout
        self._dataset = dataset
        self._instrument = instrument
        self._clock = context.clock
        self._options = options
        self._inspector = Inspector(instrument)
        self._dropper = IdenticalDropper()
        self._rounder = Rounder(instrument)
        self._rows: dict[Path, int] = {}

    def expect(self, sources: Sequence[Source]) -> None:
        for source in sources:
            self._inspector.expect_file(source.name, source.first_line, name_claims(source.path))

    def read(self, sources: Sequence[Source], progress: Progress) -> Iterator[Chunk]:
        """All candles of all files. Raises MalformedSource at the first row that cannot be read."""
        total = estimated_rows(sources)
        for source in sources:
            self._rows[source.path] = 0
            for chunk in chunks(source):
                self._rows[source.path] += chunk.batch.num_rows
                progress(chunk.batch.num_rows, total)
                yield chunk

    def repaired(self, candles: Iterator[Chunk]) -> Iterator[Chunk]:
        """Apply the requested repairs, in this order: sort, drop identical duplicates, round."""
        if self._options.sort:
            candles = in_time_order(candles)
        if self._options.drop_identical:
            candles = self._dropper.without_repeats(candles)
        return self._rounder.rounded(candles) if self._options.round else candles

    def inspected(self, candles: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in candles:
            self._inspector.inspect(chunk)
            yield chunk

    def commit(self, kind: str, description: str, sources: Sequence[Source], candles: Iterator[Chunk]) -> DatasetRecord:
        fingerprint = Fingerprint(self._instrument.bar_type)
        with staged_folder(self._layout.dataset(self._dataset), f"dataset {self._dataset}") as folder:
            writer = CatalogWriter(folder, self._instrument)
            try:
                for chunk in candles:
                    if not self._inspector.findings.refused(self._options.allow):
                        writer.write(chunk.batch)
                        fingerprint.update(chunk.batch)
            except MalformedSource as error:
                writer.abandon()
                for finding in error.findings:
                    self._inspector.findings.add(finding)
                raise import_error(self._inspector.finish(), self._options) from None
            except BaseException:
                writer.abandon()
                raise
            files = writer.close()
            if self._rounder.volumes and any(source.is_headerless_kline for source in sources):
                self._inspector.add_spot(sources[0].name, sources[0].first_line)
            findings = self._inspector.finish()
            if findings.refused(self._options.allow):
                raise import_error(findings, self._options)
            if writer.first_ms is None or writer.last_ms is None:
                raise BadData("no candles found")
            allowed = tuple(findings.of_severity("error"))
            options = self._options
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
                    "fingerprint": fingerprint.digest(allowed),
                    "price_decimals": self._instrument.price_decimals,
                    "size_decimals": self._instrument.size_decimals,
                    "findings": findings.counts,
                    "allowed": allowed,
                    "repairs": self._repairs(),
                    "market": "spot" if "spot" in findings.counts else None,
                    "label": options.source.label,
                    "columns": dict(options.source.columns),
                    "sources": tuple(self._source_record(source) for source in sources),
                    "files": files,
                    "prepared_at": iso(self._clock.now_ns()),
                }
            )
            write_record(folder, record)
        write_fingerprint(self._layout, record)
        return record

    def _repairs(self) -> Repairs:
        return Repairs(
            sorted=self._options.sort,
            dropped_identical=self._dropper.dropped,
            rounded_prices=self._rounder.prices,
            rounded_volumes=self._rounder.volumes,
        )

    def _source_record(self, source: Source) -> SourceFile:
        return SourceFile(
            name=source.name,
            size_bytes=source.path.stat().st_size,
            digest=file_digest(source.path),
            rows=self._rows[source.path],
            time_unit=source.time_unit,
            header=source.header,
        )


def import_error(findings: QualityFindings, options: ImportOptions) -> BadData:
    """The error of a refused import, with the first findings of each rule that was not allowed."""
    counts = findings.refused(options.allow)
    refused = [finding for finding in findings.in_file_order() if finding.rule in counts]
    lines = [finding.text() for finding in refused[:_MAX_SHOWN]]
    remaining = sum(counts.values()) - len(lines)
    if remaining > 0:
        lines.append(f"... and {remaining:,} more (--json lists the first {MAX_LISTED_PER_RULE} of each rule)")
    return BadData(
        f"not imported, the candles have errors: {summary(counts)}",
        lines=lines,
        findings=[finding.as_dict() for finding in refused],
        counts=counts,
        hint=_next_step(counts, options),
    )


def _next_step(counts: dict[str, int], options: ImportOptions) -> str:
    if not options.sort and ("disorder" in counts or "overlap" in counts):
        return "--sort sorts by time; nothing is repaired without an option"
    if not options.drop_identical and "duplicate_identical" in counts:
        return "--drop-identical-duplicates drops repeated candles; nothing is repaired without an option"
    if not options.round and set(counts) <= {"off_tick", "too_precise"}:
        return "--round rounds prices to the tick and volumes to the lot; nothing is repaired without an option"
    if "wrong_interval" in counts:
        return "the lab reads one-minute candles: download those"
    if "wrong_instrument" in counts:
        return f"import candles of {options.source.symbol}, by its trades"
    if all(rule in ALLOWABLE for rule in counts):
        return f"correct the files at their source, or accept the errors: {' '.join(f'--allow {r}' for r in counts)}"
    return "correct the files at their source; nothing is repaired automatically"
