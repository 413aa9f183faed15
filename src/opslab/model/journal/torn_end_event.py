"""The event of a torn end, alone: the store writes it, and loads no other class."""

from opslab.model.journal.journal_event import ANY_STATUS, JournalEvent


class JournalTornEndKept(JournalEvent):
    """A [torn end](#the-torn-end) of the journal was moved to a file."""

    EVENT = "journal_torn_end_kept"
    STATUSES = ANY_STATUS

    file: str
    offset: int
    """Of the moved bytes in the journal."""
    size_bytes: int
    digest: str
    """Digest of the moved bytes."""
