"""Journal of a sealed run after its sealed bytes: checks whose process died before it could seal."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from opslab.errors import Corrupt
from opslab.model.checks.check_kind import CHECK_EVENTS, is_numbered
from opslab.model.primitives.canonical import DIGEST_PREFIX
from opslab.model.run.event import Event
from opslab.model.run.manifest import Manifest, SealedFile
from opslab.store.files import file_digest
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.journal import events_after, open_journal
from opslab.store.runs.torn_line import could_begin

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class UnsealedTail:
    """Complete checks, then the beginning of one more."""

    checks: tuple[Event, ...] = ()
    torn: bytes = b""

    def description(self) -> str | None:
        """None when the tail is empty."""
        if not self.torn:
            return "longer by checks that were not sealed" if self.checks else None
        if not self.checks:
            return "longer by the torn end of a check"
        return "longer by checks that were not sealed, and by the torn end of one"


def unsealed_tail(folder: Path, manifest: Manifest) -> UnsealedTail:
    """The checks after the seal; empty too when the journal has anything else there."""
    sealed = next((file for file in manifest.files if file.path == JOURNAL), None)
    if sealed is None:
        return UnsealedTail()
    try:
        with open_journal(folder) as stream:
            if os.fstat(stream.fileno()).st_size <= sealed.size_bytes or _digest_of(stream, sealed) != sealed.digest:
                return UnsealedTail()
        tail = events_after(folder, sealed.size_bytes)
        if not all(_is_check(folder, manifest, event) for event in tail.events):
            return UnsealedTail()
    except (OSError, Corrupt):
        return UnsealedTail()
    if tail.torn and not could_begin(tail.torn, CHECK_EVENTS, tail.next_seq, tail.next_prev):
        return UnsealedTail()
    return UnsealedTail(tuple(tail.events), tail.torn)


def _is_check(folder: Path, manifest: Manifest, event: Event) -> bool:
    """Whether the event is of a check whose result exists; a result is on disk before its event."""
    name = event.payload.get("artifact")
    return (
        event.event in CHECK_EVENTS
        and isinstance(name, str)
        and is_numbered(name)
        and all(file.path != name for file in manifest.files)
        and stat.S_ISREG((folder / name).lstat().st_mode)
        and file_digest(folder / name) == event.payload.get("digest")
    )


def _digest_of(stream: BinaryIO, sealed: SealedFile) -> str:
    """Digest of the sealed length."""
    hasher, remaining_bytes = hashlib.sha256(), sealed.size_bytes
    while remaining_bytes and (chunk := stream.read(min(remaining_bytes, _CHUNK_BYTES))):
        hasher.update(chunk)
        remaining_bytes -= len(chunk)
    return DIGEST_PREFIX + hasher.hexdigest()
