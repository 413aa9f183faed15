"""Run folders: created atomically, listed, read."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from opslab.errors import AlreadyExists, Corrupt, NotFound, Unwritable
from opslab.model.primitives.canonical import DIGEST_PREFIX, canonical_line
from opslab.model.primitives.ids import RunId, nearest
from opslab.model.run.metadata import RunMetadata
from opslab.store.files import (
    copy_file,
    discard_folder,
    folder_names,
    make_folder,
    remove_file,
    remove_folder,
    staged_folder,
    sync_folder,
    sync_tree,
    write_json,
    write_whole,
    writing,
)
from opslab.store.layout import Layout
from opslab.store.runs.run_format import refuse_other_format
from opslab.store.venues.venue_files import VENUE_FOLDER

SPEC = "run_spec.yaml"
METADATA = "metadata.json"
METRICS = "metrics.json"
INPUTS = "inputs"
CODE = "code.json"
PARTIAL = "partial-"
_WRITTEN_FOLDERS = ("logs", VENUE_FOLDER)
"""Folders of a run in which files are replaced atomically, by temporary files."""
_BLOCK_BYTES = 1 << 16


@contextmanager
def new_run_folder(layout: Layout, run_id: RunId, spec_text: str, keep_locked: ExitStack) -> Iterator[Path]:
    """A new run folder to fill; it appears under its name in one step after the block. Raises AlreadyExists.

    keep_locked: as in `staged_folder`.
    """
    refuse_existing(layout, run_id)
    try:
        with staged_folder(layout.run(run_id), f"run {run_id}", keep_locked) as folder:
            write_whole(folder / SPEC, spec_text.encode())
            (folder / "logs").mkdir()
            yield folder
    except AlreadyExists:
        raise already_exists(run_id) from None


def refuse_existing(layout: Layout, run_id: RunId) -> None:
    """Raises AlreadyExists when the path of the run's folder exists."""
    target = layout.run(run_id)
    if target.exists() or target.is_symlink():
        raise already_exists(run_id)


def already_exists(run_id: RunId) -> AlreadyExists:
    hint = f"choose another --run-id, or see it with: tc run show {run_id}"
    return AlreadyExists(f"run {run_id} exists already", hint=hint)


def run_folder(layout: Layout, text: str) -> Path:
    """The folder of an existing run. Raises BadId or NotFound with the nearest names."""
    run_id = RunId(text)
    folder = layout.run(run_id)
    if not folder.is_dir():
        similar = nearest(text, run_names(layout))
        hint = f"did you mean: {', '.join(similar)}" if similar else "tc run list"
        raise NotFound(f"run {run_id} not found in {layout.home}", hint=hint)
    return folder


def run_names(layout: Layout) -> list[str]:
    """Names of all run folders, sorted; names that are not run ids are skipped."""
    return [name for name in folder_names(layout.runs) if RunId.is_valid(name)]


def write_metadata(folder: Path, metadata: RunMetadata) -> None:
    with writing("write metadata.json"):
        write_json(folder / METADATA, metadata.model_dump(mode="json"))


def read_metadata(folder: Path) -> RunMetadata | None:
    """The content of `metadata.json`; None when it does not exist. Raises Corrupt; OtherFormat."""
    path = folder / METADATA
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would block its reader
            raise _broken(folder, "is not a regular file")
        document = path.read_bytes()
        return RunMetadata.model_validate_json(document)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _broken(folder, f"cannot be read: {error.strerror}") from None
    except ValidationError:
        refuse_other_format(folder, METADATA, document, "metadata_version")
        raise _broken(folder, "has invalid content") from None


def _broken(folder: Path, problem: str) -> Corrupt:
    return Corrupt(f"run {folder.name}: {METADATA} {problem}", file=METADATA, problem=problem)


_MAX_BUFFERED_ROWS = 1_000


class RowsFile:
    """`<name>.jsonl` being written: one canonical JSON object a line. It appears complete, at `commit`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = f"{name}.jsonl"
        self._lines: list[bytes] = []
        """Rows that are not written yet."""
        self._path = folder / self.name
        self._temporary = folder / f".{self.name}.tmp"
        self._hasher = hashlib.sha256()
        self._stream: BinaryIO | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Written with the next `flush`, or when there are many. Text, integers, booleans, None, sequences of these."""
        self._lines.append(canonical_line(row))
        if len(self._lines) >= _MAX_BUFFERED_ROWS:
            self.flush()

    def flush(self) -> None:
        """Pass the rows so far to the kernel, so that they survive this process."""
        if not self._lines:
            return
        data = b"".join(self._lines)
        self._lines.clear()
        self._hasher.update(data)
        with writing(f"write {self.name}"):
            stream = self._opened()
            stream.write(data)
            stream.flush()

    def commit(self) -> str:
        """Rename the file to its final name; returns its digest."""
        self.flush()
        with writing(f"write {self.name}"), self._opened() as stream:
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(self._temporary, self._path)  # noqa: PTH105
            sync_folder(self._path.parent)
        return DIGEST_PREFIX + self._hasher.hexdigest()

    def keep_partial(self) -> None:
        """Keep the rows so far under the partial name. Does nothing after `commit`."""
        with suppress(Unwritable):  # the last rows may not fit on a full disk
            self.flush()
        if self._stream:
            with suppress(OSError):  # the buffered rest may not fit on a full disk
                self._stream.close()
        with suppress(OSError):
            if self._temporary.exists():
                _keep_partial(self._temporary)

    def _opened(self) -> BinaryIO:
        """The temporary file, opened at its first use."""
        if self._stream is None:
            self._stream = open(self._temporary, "wb")  # noqa: SIM115  (closed by commit or keep_partial)
        return self._stream


def read_rows(folder: Path, name: str) -> Iterator[tuple[int, bytes]]:
    """(line number, row) of a canonical result, or else of its partial file; empty when neither exists."""
    for file in (f"{name}.jsonl", f"{PARTIAL}{name}.jsonl"):
        with suppress(FileNotFoundError), open(folder / file, "rb") as stream:
            yield from enumerate(stream, 1)
            return


def count_rows(folder: Path, name: str) -> int:
    """Number of rows of a result, complete or partial."""
    return sum(1 for _ in read_rows(folder, name))


def remove_unfinished(folder: Path, names: Iterable[str]) -> None:
    """Remove temporary and partial files of results, which can be made again."""
    for name in names:
        for unfinished in (f".{name}.jsonl.tmp", f"{PARTIAL}{name}.jsonl"):
            remove_file(folder / unfinished)


def discard_run(layout: Layout, run_id: RunId) -> None:
    """Remove a run, atomically for other processes. The caller made it."""
    discard_folder(layout.run(run_id))


def write_inputs(folder: Path, code: Mapping[str, Any], strategy_files: Mapping[str, Path]) -> None:
    """Write `inputs/` in one step: the parts of the code digest, and a copy of a user strategy's files, by name.

    Replaces the inputs of an earlier start that failed. The caller owns the run.
    """
    staging = folder / f".{INPUTS}.tmp"
    with writing("keep the run's inputs"):
        for previous in (staging, folder / INPUTS):
            remove_folder(previous)
        make_folder(staging)
        for name, path in strategy_files.items():
            copy_file(path, staging / _stored_name(name))
        write_json(staging / CODE, code)
        sync_tree(staging)
        os.rename(staging, folder / INPUTS)  # noqa: PTH104
        sync_folder(folder)


def stored_strategy_files(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Paths of the stored copies of a user strategy's files, by name."""
    return {name: folder / INPUTS / _stored_name(name) for name in names}


def _stored_name(name: str) -> str:
    """`crossing/cross.py` is `strategy/crossing/cross.py`; `installed:pack/a.py` is `installed/pack/a.py`."""
    kind, separator, rest = name.rpartition(":")
    return f"{kind}/{rest}" if separator else f"strategy/{name}"


def clear_temporary_files(folder: Path) -> None:
    """After the owner died: rename partial rows, remove temporary files. The caller owns the run."""
    with writing(f"remove temporary files of run {folder.name}"):
        folders = (folder, *(folder / name for name in _WRITTEN_FOLDERS))
        for path in sorted(file for parent in folders for file in parent.glob(".*")):
            if path.is_dir() and not path.is_symlink():
                remove_folder(path)
            elif path.name.endswith(".jsonl.tmp"):
                _keep_partial(path)
            elif path.name.endswith(".tmp"):
                path.unlink()


def _keep_partial(temporary: Path) -> None:
    """Rename `.orders.jsonl.tmp` to `partial-orders.jsonl`, cut after its last complete line; remove it without one."""
    with open(temporary, "rb+") as stream:
        size = _end_of_lines(stream)
        stream.truncate(size)
        os.fsync(stream.fileno())
    if size:
        name = temporary.name.removeprefix(".").removesuffix(".tmp")
        os.replace(temporary, temporary.with_name(f"{PARTIAL}{name}"))  # noqa: PTH105
    else:
        temporary.unlink()
    sync_folder(temporary.parent)


def _end_of_lines(stream: BinaryIO) -> int:
    """Offset after the last newline; 0 when there is none."""
    end = stream.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK_BYTES)
        stream.seek(start)
        newline = stream.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def write_record(folder: Path, name: str, value: Any) -> None:
    with writing(f"write {name}"):
        write_json(folder / name, value)


def write_text(folder: Path, name: str, text: str) -> None:
    with writing(f"write {name}"):
        write_whole(folder / name, text.encode())
