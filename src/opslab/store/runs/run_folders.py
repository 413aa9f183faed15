"""Run folders: made whole, listed, read."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from opslab.errors import AlreadyExists, BadId, Corrupt, NotFound
from opslab.model.primitives.canonical import DIGEST_PREFIX, canonical_json
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
_FILLED = ("logs", VENUE_FOLDER)
"""Folders of a run in which files are written whole."""
_LOOK_BYTES = 1 << 16


@contextmanager
def new_run_folder(layout: Layout, run_id: RunId, spec_text: str) -> Iterator[Path]:
    """Fill a new run folder; it appears under its name in one step when the block ends. Raises AlreadyExists."""
    refuse_existing(layout, run_id)
    try:
        with staged_folder(layout.run(run_id), f"run {run_id}") as folder:
            write_whole(folder / SPEC, spec_text.encode())
            (folder / "logs").mkdir()
            yield folder
    except AlreadyExists:
        raise already_exists(run_id) from None


def refuse_existing(layout: Layout, run_id: RunId) -> None:
    """Raises AlreadyExists when something stands where the run's folder would."""
    target = layout.run(run_id)
    if target.exists() or target.is_symlink():
        raise already_exists(run_id)


def already_exists(run_id: RunId) -> AlreadyExists:
    hint = f"choose another --run-id, or look at it with: tc run show {run_id}"
    return AlreadyExists(f"run {run_id} exists already", hint=hint)


def run_folder(layout: Layout, text: str) -> Path:
    """The folder of an existing run. Raises BadId or NotFound with the nearest names."""
    run_id = RunId(text)
    folder = layout.run(run_id)
    if not folder.is_dir():
        close = nearest(text, run_names(layout))
        hint = f"did you mean: {', '.join(close)}" if close else "tc run list"
        raise NotFound(f"run {run_id} not found in {layout.home}", hint=hint)
    return folder


def run_names(layout: Layout) -> list[str]:
    """Names of all run folders, sorted; what cannot be a run is left out."""
    return [name for name in folder_names(layout.runs) if _is_run_id(name)]


def write_metadata(folder: Path, metadata: RunMetadata) -> None:
    with writing("write metadata.json"):
        write_json(folder / METADATA, metadata.model_dump(mode="json"))


def read_metadata(folder: Path) -> RunMetadata | None:
    """What `metadata.json` says; None when there is none. Raises Corrupt when it cannot be read."""
    path = folder / METADATA
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would hold its reader for ever
            raise _broken(folder, "is no plain file")
        document = path.read_bytes()
        return RunMetadata.model_validate_json(document)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _broken(folder, f"cannot be read: {error.strerror}") from None
    except ValidationError:
        refuse_other_format(folder, METADATA, document, "metadata_version")
        raise _broken(folder, "is not what was written") from None


def _broken(folder: Path, what: str) -> Corrupt:
    return Corrupt(f"run {folder.name}: {METADATA} {what}", file=METADATA, what=what)


class RowsFile:
    """`<name>.jsonl` in the making: one canonical JSON object a line. It appears whole, at `commit`."""

    def __init__(self, folder: Path, name: str, *, at_once: bool = False) -> None:
        """at_once: each row is the kernel's when `add` returns, and so outlives this process."""
        self.name = f"{name}.jsonl"
        self._at_once = at_once
        self._path = folder / self.name
        self._temporary = folder / f".{self.name}.tmp"
        self._hasher = hashlib.sha256()
        self._stream: BinaryIO | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        line = canonical_json(row).encode() + b"\n"
        self._hasher.update(line)
        with writing(f"write {self.name}"):
            stream = self._opened()
            stream.write(line)
            if self._at_once:
                stream.flush()

    def commit(self) -> str:
        """Put the file in its place; its digest."""
        with writing(f"write {self.name}"), self._opened() as stream:
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(self._temporary, self._path)  # noqa: PTH105
            sync_folder(self._path.parent)
        return DIGEST_PREFIX + self._hasher.hexdigest()

    def keep_partial(self) -> None:
        """The rows so far, under the name of what is not whole. Does nothing after `commit`."""
        if self._stream:
            with suppress(OSError):  # what no disk has room for
                self._stream.close()
        with suppress(OSError):
            if self._temporary.exists():
                _keep_partial(self._temporary)

    def _opened(self) -> BinaryIO:
        """The temporary file, made when it is first needed."""
        if self._stream is None:
            self._stream = open(self._temporary, "wb")  # noqa: SIM115  (closed by commit or abandon)
        return self._stream


def read_rows(folder: Path, name: str) -> Iterator[tuple[int, bytes]]:
    """(line number, row) of a canonical result, those of one that did not become whole too; none when there is none."""
    for file in (f"{name}.jsonl", f"{PARTIAL}{name}.jsonl"):
        with suppress(FileNotFoundError), open(folder / file, "rb") as stream:
            yield from enumerate(stream, 1)
            return


def count_rows(folder: Path, name: str) -> int:
    """Of a result, as far as it came."""
    return sum(1 for _ in read_rows(folder, name))


def remove_unfinished(folder: Path, names: Iterable[str]) -> None:
    """What a process that died, or could not go on, left of results that can be made again."""
    for name in names:
        for left in (f".{name}.jsonl.tmp", f"{PARTIAL}{name}.jsonl"):
            remove_file(folder / left)


def discard_run(layout: Layout, run_id: RunId) -> None:
    """Remove a run, all of it at once as everybody else sees it. The caller made it."""
    discard_folder(layout.run(run_id))


def write_inputs(folder: Path, code: Mapping[str, Any], own: Mapping[str, Path]) -> None:
    """`inputs/`: what the code was, and a copy of a user's strategy, by name. It appears whole.

    Replaces one from a start that came to nothing. The caller owns the run.
    """
    staging = folder / f".{INPUTS}.tmp"
    with writing("keep the run's inputs"):
        for left in (staging, folder / INPUTS):
            remove_folder(left)
        make_folder(staging)
        for name, path in own.items():
            copy_file(path, staging / _stored_name(name))
        write_json(staging / CODE, code)
        sync_tree(staging)
        os.rename(staging, folder / INPUTS)  # noqa: PTH104
        sync_folder(folder)


def stored_strategy_files(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Where the copies of a user's strategy's files lie in a run's folder, by name."""
    return {name: folder / INPUTS / _stored_name(name) for name in names}


def _stored_name(name: str) -> str:
    """`crossing/cross.py` is `strategy/crossing/cross.py`; `installed:pack/a.py` is `installed/pack/a.py`."""
    kind, separator, rest = name.rpartition(":")
    return f"{kind}/{rest}" if separator else f"strategy/{name}"


def clear_temporary_files(folder: Path) -> None:
    """After its owner died: partial rows get their name, temporary files go. The caller owns the run."""
    with writing(f"tidy up run {folder.name}"):
        for path in sorted([*folder.glob(".*"), *(found for name in _FILLED for found in (folder / name).glob(".*"))]):
            if path.is_dir() and not path.is_symlink():
                remove_folder(path)
            elif path.name.endswith(".jsonl.tmp"):
                _keep_partial(path)
            elif path.name.endswith(".tmp"):
                path.unlink()


def _keep_partial(temporary: Path) -> None:
    """`.orders.jsonl.tmp` becomes `partial-orders.jsonl`, cut behind its last whole line; gone when there is none."""
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
    """Offset behind the last newline; 0 when there is none."""
    end = stream.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _LOOK_BYTES)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def write_record(folder: Path, name: str, value: Any) -> None:
    with writing(f"write {name}"):
        write_json(folder / name, value)


def write_text(folder: Path, name: str, text: str) -> None:
    with writing(f"write {name}"):
        write_whole(folder / name, text.encode())


def _is_run_id(name: str) -> bool:
    try:
        RunId(name)
    except BadId:
        return False
    return True
