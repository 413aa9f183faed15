"""Cache of the rows of the list of runs, so that a list does not read every run again.

It may be deleted at any time. An entry is valid only while its source files are unchanged; an inconsistent index is
ignored, and write errors are too.
"""

import json
import os
import stat
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from opslab import __version__
from opslab.errors import Corrupt, Environment
from opslab.model.primitives.canonical import digest_bytes
from opslab.model.primitives.ids import RunId
from opslab.store.files import make_folder, write_lines
from opslab.store.layout import Layout

_VERSION = 2
"""Increase it when the meaning of a row changes under the same names."""
_SETTLED_NS = 2_000_000_000
"""Coarsest time stamp of a file system: within it a file can change twice with the same signature."""

Signature = list[int]
"""Of a file: size, inode, mtime and ctime (ns). Empty: the file does not exist.

A program can set mtime, but not ctime.
"""


class Entry(NamedTuple):
    """Values read of one run, with the signatures of their files."""

    metadata: Signature
    journal: Signature | None
    """None: the journal was not read."""
    owner: dict[str, Any] | None
    """Owner of a run that was `running`."""
    values: list[Any]


def index_file(layout: Layout) -> Path:
    return layout.runtime / "index" / "runs.json"


def run_folder_names(layout: Layout) -> list[str]:
    """Names of all run folders, unsorted; names that are not run ids are skipped. Raises Environment."""
    try:
        with os.scandir(layout.runs) as entries:
            return [entry.name for entry in entries if RunId.is_valid(entry.name) and entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise Environment(
            f"cannot read {layout.runs}: {error.strerror}", hint="check the permissions of that folder"
        ) from None


def signature(folder: str, name: str) -> Signature:
    """Of the file `name` in a run's folder. Raises Corrupt when it is unreadable or not a regular file."""
    try:
        state = os.stat(f"{folder}/{name}")  # noqa: PTH116  (of ten thousand files: Path would take half the time)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, f"{name} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(state.st_mode):
        raise _unreadable(folder, f"{name} is not a file")
    return [state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns]


def names_to_check(
    layout: Layout, names: Sequence[str], indexed: Mapping[str, Entry], known: Container[str]
) -> list[str]:
    """Those of `names` that are not in `known`, or whose entry needs more than a look at `metadata.json`, or whose
    `metadata.json` has changed. Of ten thousand runs: each costs one file status.
    """
    changed: list[str] = []
    try:
        runs = os.open(layout.runs, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return list(names)
    try:
        for name in names:
            entry = indexed.get(name)
            if entry is None or entry.owner is not None or entry.journal is not None or name not in known:
                changed.append(name)
                continue
            try:
                state = os.stat(f"{name}/metadata.json", dir_fd=runs)
            except OSError:
                changed.append(name)
                continue
            size, inode, mtime, ctime = entry.metadata
            if (
                state.st_ctime_ns != ctime
                or state.st_size != size
                or state.st_ino != inode
                or state.st_mtime_ns != mtime
                or not stat.S_ISREG(state.st_mode)
            ):
                changed.append(name)
    finally:
        os.close(runs)
    return changed


def is_settled(entry: Entry, now_ns: int) -> bool:
    """Whether a later change of its files gives another signature: not within one time stamp of the last change."""
    return all(not file or file[3] < now_ns - _SETTLED_NS for file in (entry.metadata, entry.journal))


def read_index(layout: Layout, fields: Sequence[str]) -> dict[str, Entry]:
    """Run id to entry, as written with the same `fields`; empty when there is no valid index."""
    path = index_file(layout)
    try:
        data = path.read_bytes() if path.is_file() else b""
    except OSError:
        return {}
    head, _, body = data.partition(b"\n")
    if head != _head(fields, body):
        return {}
    return {name: Entry(*entry) for name, entry in json.loads(b"{" + body)["runs"].items()}


def write_index(layout: Layout, fields: Sequence[str], entries: Mapping[str, Entry]) -> None:
    """Replace it atomically, not durably; write errors are ignored."""
    path = index_file(layout)
    body = json.dumps({"runs": entries}, separators=(",", ":"))[1:].encode() + b"\n"
    with suppress(OSError):
        make_folder(path.parent)
        write_lines(path, (_head(fields, body), b"\n", body), durable=False)


def _head(fields: Sequence[str], body: bytes) -> bytes:
    """The first line, which identifies the rest: another version, other fields or damaged bytes do not match."""
    header = {"index": "runs", "version": _VERSION, "lab": __version__, "fields": list(fields)}
    return json.dumps({**header, "digest": digest_bytes(body)})[:-1].encode() + b","


def _unreadable(folder: str, brief: str) -> Corrupt:
    return Corrupt(f"run {os.path.basename(folder)}: {brief}", brief=brief)  # noqa: PTH119
