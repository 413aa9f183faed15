"""Run folders: made whole, listed, read."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from opslab.errors import AlreadyExists, BadId, Corrupt, NotFound
from opslab.model.canonical import DIGEST_PREFIX, canonical_json
from opslab.model.ids import RunId, nearest
from opslab.model.run import RunMetadata
from opslab.store.files import folder_names, staged_folder, sync_folder, write_json, write_whole, writing
from opslab.store.layout import Layout

SPEC = "run_spec.yaml"
METADATA = "metadata.json"
METRICS = "metrics.json"


@contextmanager
def new_run_folder(layout: Layout, run_id: RunId, spec_text: str) -> Iterator[Path]:
    """Fill a new run folder; it appears under its name in one step when the block ends. Raises AlreadyExists."""
    refuse_taken(layout, run_id)
    try:
        with staged_folder(layout.run(run_id), f"run {run_id}") as folder:
            write_whole(folder / SPEC, spec_text.encode())
            (folder / "logs").mkdir()
            yield folder
    except AlreadyExists:
        raise _taken(run_id) from None


def refuse_taken(layout: Layout, run_id: RunId) -> None:
    """Raises AlreadyExists when something stands where the run's folder would."""
    target = layout.run(run_id)
    if target.exists() or target.is_symlink():
        raise _taken(run_id)


def _taken(run_id: RunId) -> AlreadyExists:
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
    try:
        return RunMetadata.model_validate_json((folder / METADATA).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Corrupt(f"run {folder.name}: metadata.json cannot be read: {error.strerror}") from None
    except ValidationError:
        raise Corrupt(f"run {folder.name}: metadata.json is not what was written") from None


class RowsFile:
    """`<name>.jsonl` in the making: one canonical JSON object a line. It appears whole, at `commit`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = f"{name}.jsonl"
        self._path = folder / self.name
        self._temporary = folder / f".{self.name}.tmp"
        self._hasher = hashlib.sha256()
        self._stream: BinaryIO | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        line = canonical_json(row).encode() + b"\n"
        self._hasher.update(line)
        with writing(f"write {self.name}"):
            self._opened().write(line)

    def commit(self) -> str:
        """Put the file in its place; its digest."""
        with writing(f"write {self.name}"), self._opened() as stream:
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(self._temporary, self._path)  # noqa: PTH105
            sync_folder(self._path.parent)
        return DIGEST_PREFIX + self._hasher.hexdigest()

    def abandon(self) -> None:
        if self._stream:
            with suppress(OSError):
                self._stream.close()
            with suppress(OSError):
                self._temporary.unlink()

    def _opened(self) -> BinaryIO:
        """The temporary file, made when it is first needed."""
        if self._stream is None:
            self._stream = open(self._temporary, "wb")  # noqa: SIM115  (closed by commit or abandon)
        return self._stream


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
