"""A cache of what the list of runs shows, so that a list does not read every run again.

It belongs to nobody and may be deleted at any time. What it holds of a run counts only while the files that it was
read from are those of then; a file that does not hold together counts as none, and one that cannot be written is not.
"""

import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from opslab import __version__
from opslab.errors import BadId, Corrupt, Environment
from opslab.model.primitives.canonical import digest_bytes
from opslab.model.primitives.ids import RunId
from opslab.store.files import make_folder, write_lines
from opslab.store.layout import Layout

_VERSION = 2
"""To be raised when a row comes to say something else under the same names."""
_SETTLED_NS = 2_000_000_000
"""The coarsest clock of a file system: within it a file can change twice and look the same."""

Signature = list[int]
"""Of a file: size, inode, time of its content, time of any change to it (ns). Empty: there is no such file.

The last cannot be set back by a program, as the one before it can.
"""


class Entry(NamedTuple):
    """What was read of one run, and from what."""

    metadata: Signature
    journal: Signature | None
    """None: the journal was not asked."""
    owner: dict[str, Any] | None
    """Whom to ask for, of a run that was `running`."""
    values: list[Any]


def index_file(layout: Layout) -> Path:
    return layout.runtime / "index" / "runs.json"


def run_folder_names(layout: Layout) -> list[str]:
    """Names of all run folders, in no order; what cannot be a run is left out. Raises Environment."""
    try:
        with os.scandir(layout.runs) as found:
            return [entry.name for entry in found if _is_run_id(entry.name) and entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise Environment(
            f"cannot read {layout.runs}: {error.strerror}", hint="check who may read that folder"
        ) from None


def signature(folder: str, name: str) -> Signature:
    """Of the file `name` in a run's folder. Raises Corrupt when it cannot be asked, or is no file."""
    try:
        found = os.stat(f"{folder}/{name}")  # noqa: PTH116  (ten thousand of them: a Path each would be half the time)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, f"{name} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise _unreadable(folder, f"{name} is not a file")
    return [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]


def is_settled(entry: Entry, now_ns: int) -> bool:
    """Whether a later change of its files would show: not while the last one is as recent as a clock's tick."""
    return all(not found or found[3] < now_ns - _SETTLED_NS for found in (entry.metadata, entry.journal))


def read_index(layout: Layout, fields: Sequence[str]) -> dict[str, Entry]:
    """Run id to entry, as written with the same `fields`; empty when there is nothing to be had."""
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
    """Replace it in one step, not waiting for the disk; where that cannot be done there is none."""
    path = index_file(layout)
    body = json.dumps({"runs": entries}, separators=(",", ":"))[1:].encode() + b"\n"
    with suppress(OSError):
        make_folder(path.parent)
        write_lines(path, (_head(fields, body), b"\n", body), durable=False)


def _head(fields: Sequence[str], body: bytes) -> bytes:
    """The first line, which says what the rest is: another lab's, another form, torn or garbage does not fit."""
    about = {"index": "runs", "version": _VERSION, "lab": __version__, "fields": list(fields)}
    return json.dumps({**about, "digest": digest_bytes(body)})[:-1].encode() + b","


def _is_run_id(name: str) -> bool:
    try:
        RunId(name)
    except BadId:
        return False
    return True


def _unreadable(folder: str, brief: str) -> Corrupt:
    return Corrupt(f"run {os.path.basename(folder)}: {brief}", brief=brief)  # noqa: PTH119
