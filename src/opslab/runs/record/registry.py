"""The registry: all runs and their current state.

`metadata.json` is enough where it is not older than the journal: of a run that ended, and of one whose owner lives to
write it. Otherwise the journal is read. An index keeps the rows of a list, so that the next list only compares the
signatures of the files.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from opslab.errors import Corrupt, LabError, OtherFormat
from opslab.runs.record.selection import OWNER_GONE, Row
from opslab.store.runs.list_index import (
    Entry,
    Signature,
    is_settled,
    names_to_check,
    read_index,
    run_folder_names,
    signature,
    write_index,
)

if TYPE_CHECKING:  # a list answered by the index needs none of the models
    from opslab.context import Context
    from opslab.model.run.metadata import RunMetadata
    from opslab.ports import Processes

_METADATA = "metadata.json"
_JOURNAL = "journal.jsonl"


class RegistryEntry(NamedTuple):
    """A run as read from disk, with the signatures of its files from just before reading."""

    metadata: "RunMetadata"
    metadata_file: Signature
    journal_file: Signature | None
    lives: bool
    """Whether its owner lives. If not, the files were read after its death."""


class Registry:
    """Rows of all runs, kept between two reads: the second one only reads the runs whose files have changed."""

    def __init__(self, context: "Context") -> None:
        self._context = context
        self._indexed = read_index(context.layout, Row._fields)
        self._index_changed = False
        self.rows: dict[str, Row] = {}
        """Of every run folder, in no order."""
        self.changes: dict[str, Row | None] = {}
        """Rows that the last `read` changed; None: the run is gone."""
        self.reread: dict[str, RunMetadata | None] = {}
        """Runs that the last `read` read from their files; None: one that cannot be read."""

    def read(self) -> None:
        """Bring the rows up to date. Raises Environment."""
        layout = self._context.layout
        now_ns = self._context.clock.now_ns()
        self.changes, self.reread = {}, {}
        names = run_folder_names(layout)
        runs = str(layout.runs)
        for name in names_to_check(layout, names, self._indexed, self.rows):
            row = self._read(name, f"{runs}/{name}", now_ns)
            if self.rows.get(name) != row:
                self.changes[name] = self.rows[name] = row
        for name in self.rows.keys() - set(names):
            del self.rows[name]
            self.changes[name] = None
        for name in self._indexed.keys() - self.rows.keys():
            self._drop_entry(name)
        if self._index_changed:
            write_index(layout, Row._fields, self._indexed)
            self._index_changed = False

    def _read(self, name: str, folder: str, now_ns: int) -> Row:
        """From the index if its files have not changed, otherwise from them."""
        entry, processes = self._indexed.get(name), self._context.processes
        row = _row_from_index(folder, entry, processes) if entry else None
        if entry is not None and (row is None or not is_settled(entry, now_ns)):  # or the clock was set back
            self._drop_entry(name)
        if row is not None:
            return row
        try:
            run = read_run(Path(folder), processes)
        except LabError as error:
            self.reread[name] = None
            return Row(name, error=error.message, error_brief=error.brief)
        self.reread[name] = run.metadata
        entry = _index_entry(run)
        if is_settled(entry, now_ns):
            self._indexed[name] = entry
            self._index_changed = True
        return row_as_seen(row_of(run.metadata), run.lives)

    def _drop_entry(self, name: str) -> None:
        if self._indexed.pop(name, None) is not None:
            self._index_changed = True


def list_runs(context: "Context") -> list[Row]:
    """A row for every run folder, in no order. Raises Environment."""
    registry = Registry(context)
    registry.read()
    return list(registry.rows.values())


def show_run(context: "Context", run_id: str) -> "tuple[RunMetadata, Path]":
    """One run and its folder. Raises BadId, NotFound, Corrupt."""
    from opslab.runs.record.state import as_seen
    from opslab.store.runs.run_folders import run_folder

    folder = run_folder(context.layout, run_id)
    run = read_run(folder, context.processes)
    return run.metadata if run.lives else as_seen(run.metadata, context.processes), folder


def read_run(folder: Path, processes: "Processes") -> RegistryEntry:
    """The run in `folder`. Raises Corrupt when neither metadata.json nor the journal can be read."""
    from opslab.model.run.metadata import FINAL

    metadata_file, metadata, problem = _read_metadata(folder)
    if isinstance(problem, OtherFormat):
        raise problem
    if metadata is not None:
        lives = _lives(metadata, processes)
        if lives or metadata.status in FINAL:
            return RegistryEntry(metadata, metadata_file, None, lives)
    try:
        journal_file, projected, lives = _read_journal(folder, processes)
    except OtherFormat:
        raise
    except Corrupt as error:
        if metadata is None:
            raise _both(problem, error) if problem else error from None
        journal_file, projected, lives = [], None, False
    run = projected or metadata
    if run is None:
        raise problem or _unreadable(folder, "neither metadata.json nor a journal to read")
    return RegistryEntry(run, metadata_file, journal_file, lives)


def row_as_seen(row: Row, lives: bool) -> Row:
    """As `state.as_seen`: a run whose owner has died is `interrupted`."""
    return row if lives or row.status != "running" else row._replace(status="interrupted", ended_by=OWNER_GONE)


def row_of(run: "RunMetadata") -> Row:
    """The row of a readable run."""
    drill = run.failure_drill or {}
    return Row(
        run_id=run.run_id,
        mode=run.mode,
        status=run.status,
        strategy=run.strategy_title,
        dataset=run.dataset.name if run.dataset else None,
        initialized_at=run.initialized_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        ended_by=run.ended_by,
        recovered_at=run.recovered_at,
        acknowledged_at=run.acknowledged.at if run.acknowledged else None,
        reconciliation=run.reconciliation["state"] if run.reconciliation else None,
        reproduces=run.reproduces,
        drill=_text(drill.get("drill")),
        drill_verdict=_text(drill.get("verdict")),
        drill_started_at=_text(drill.get("started_at")),
        drill_ended_at=_text(drill.get("ended_at")),
        drill_detect_seconds=_seconds(drill.get("detect_seconds")),
        drill_recover_seconds=_seconds(drill.get("recover_seconds")),
        input_digest=run.input_digest,
        result_digest=run.result_digest,
        bars_seen=run.metrics.bars_seen if run.metrics else None,
    )


def _text(value: object) -> str | None:
    """None for any other type: the section of a record is not checked when it is read."""
    return value if isinstance(value, str) else None


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _index_entry(run: RegistryEntry) -> Entry:
    metadata = run.metadata
    owner = metadata.owner.model_dump() if metadata.owner and metadata.status == "running" else None
    return Entry(run.metadata_file, run.journal_file, owner, list(row_of(metadata)))


def _row_from_index(folder: str, entry: Entry, processes: "Processes") -> Row | None:
    """The row from the index; None when the run has to be read again."""
    lives = False
    if entry.owner is not None:  # checked before the files, so that they include its last write
        from opslab.model.run.metadata import Owner

        lives = processes.is_alive(Owner.model_validate(entry.owner), Path(folder).name)
        if not lives and entry.journal is None:
            return None
    try:
        same = signature(folder, _METADATA) == entry.metadata and (
            entry.journal is None or signature(folder, _JOURNAL) == entry.journal
        )
    except Corrupt:
        return None
    return row_as_seen(Row(*entry.values), lives) if same else None


def _lives(run: "RunMetadata", processes: "Processes") -> bool:
    return run.status == "running" and run.owner is not None and processes.is_alive(run.owner, run.run_id)


def _read_metadata(folder: Path) -> "tuple[Signature, RunMetadata | None, Corrupt | None]":
    """Signature, metadata, problem. Raises Corrupt when the file belongs to another run."""
    from opslab.store.runs.run_folders import read_metadata

    file: Signature = []
    try:
        file = signature(str(folder), _METADATA)
        metadata = read_metadata(folder)
    except Corrupt as error:
        return file, None, error
    return file, _of_run(folder, metadata, "metadata"), None


def _read_journal(folder: Path, processes: "Processes") -> "tuple[Signature, RunMetadata | None, bool]":
    """Signature, metadata (None without a complete line), whether the owner lives. Raises Corrupt."""
    for _ in range(2):
        file = signature(str(folder), _JOURNAL)
        projected = _project(folder)
        lives = projected is not None and _lives(projected, processes)
        if lives or projected is None or projected.status != "running":
            break  # otherwise read again: the owner may have recorded the end before it died
    return file, projected, lives


def _project(folder: Path) -> "RunMetadata | None":
    """The projection of the journal; None without a complete line. Raises Corrupt."""
    from opslab.runs.record.state import project_journal

    return _of_run(folder, project_journal(folder), "journal")


def _of_run(folder: Path, metadata: "RunMetadata | None", source: str) -> "RunMetadata | None":
    if metadata is not None and metadata.run_id != folder.name:
        raise _unreadable(folder, f"its {source} is of run {metadata.run_id}")
    return metadata


def _unreadable(folder: Path, brief: str) -> Corrupt:
    return Corrupt(f"run {folder.name}: {brief}", brief=brief)


def _both(first: Corrupt, second: Corrupt) -> Corrupt:
    """One error for the two files of a run."""
    return Corrupt(f"{first.message}; {second.brief}", brief=f"{first.brief}; {second.brief}")
