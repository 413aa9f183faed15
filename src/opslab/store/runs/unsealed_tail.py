"""Journal of a sealed run after its sealed bytes: checks and acknowledgements whose process died before the seal."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from opslab.errors import Corrupt
from opslab.model.checks.check_kind import CHECK_EVENTS, is_result
from opslab.model.journal.journal_event import decode
from opslab.model.journal.run_events import RunAcknowledged
from opslab.model.primitives.canonical import DIGEST_PREFIX
from opslab.model.run.event import Event
from opslab.model.run.manifest import Manifest, SealedFile
from opslab.store.files import file_digest
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.journal import events_after, open_journal
from opslab.store.runs.torn_line import could_begin

_CHUNK_BYTES = 1 << 20
_CHECK, _ACKNOWLEDGEMENT = "check", "acknowledgement"
_NAMES = {_CHECK: tuple(CHECK_EVENTS), _ACKNOWLEDGEMENT: (RunAcknowledged.EVENT,)}
"""Kind to names of the events that may follow a seal."""
_WITH_ARTICLE = {_CHECK: "a check", _ACKNOWLEDGEMENT: "an acknowledgement"}


@dataclass(frozen=True, slots=True)
class UnsealedTail:
    """Complete checks and acknowledgements, then the beginning of one more."""

    events: tuple[Event, ...] = ()
    torn: bytes = b""
    torn_kinds: tuple[str, ...] = ()
    """Kinds of events that the torn bytes can begin."""

    @property
    def kinds(self) -> str:
        """`checks`, `acknowledgements` or both, as text."""
        present = [kind for kind, names in _NAMES.items() if any(event.event in names for event in self.events)]
        return " and ".join(f"{kind}s" for kind in present)

    @property
    def artifacts(self) -> frozenset[str]:
        """Results of the checks."""
        return frozenset(str(event.payload["artifact"]) for event in self.events if event.event in CHECK_EVENTS)

    def description(self) -> str | None:
        """None when the tail is empty."""
        complete = f"longer by {self.kinds} that were not sealed"
        if not self.torn:
            return complete if self.events else None
        torn = f"by the torn end of {' or '.join(_WITH_ARTICLE[kind] for kind in self.torn_kinds)}"
        return f"{complete}, and {torn}" if self.events else f"longer {torn}"


def unsealed_tail(folder: Path, manifest: Manifest) -> UnsealedTail:
    """The events after the seal; empty too when the journal has anything else there."""
    sealed = next((file for file in manifest.files if file.path == JOURNAL), None)
    if sealed is None:
        return UnsealedTail()
    try:
        with open_journal(folder) as stream:
            if os.fstat(stream.fileno()).st_size <= sealed.size_bytes or _digest_of(stream, sealed) != sealed.digest:
                return UnsealedTail()
        tail = events_after(folder, sealed.size_bytes)
        if not all(_is_check(folder, manifest, event) or _is_acknowledgement(event) for event in tail.events):
            return UnsealedTail()
    except (OSError, Corrupt):
        return UnsealedTail()
    kinds = tuple(
        kind
        for kind, names in _NAMES.items()
        if tail.torn and could_begin(tail.torn, names, tail.next_seq, tail.next_prev)
    )
    if tail.torn and not kinds:
        return UnsealedTail()
    return UnsealedTail(tuple(tail.events), tail.torn, kinds)


def _is_acknowledgement(event: Event) -> bool:
    if event.event != RunAcknowledged.EVENT:
        return False
    try:
        return bool(decode(RunAcknowledged, event.payload))
    except ValueError:
        return False


def _is_check(folder: Path, manifest: Manifest, event: Event) -> bool:
    """Whether the event is of a check whose result exists; a result is on disk before its event."""
    name = event.payload.get("artifact")
    return (
        event.event in CHECK_EVENTS
        and isinstance(name, str)
        and is_result(name)
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
