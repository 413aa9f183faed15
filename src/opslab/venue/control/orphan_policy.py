"""A venue whose control is gone: how long it serves on, and how it leaves the account."""

from opslab.model.messages.venue_messages import OnOrphan

LOOK_SECONDS = 0.05
TRIES = 3
TRY_SECONDS = 1.0
TELL_SECONDS = 1.0
"""For clients to hear of the end that the account took."""


def over(rule: OnOrphan, *, flat: bool, connections: int, late: bool, asked: bool) -> str | None:
    """Why it is time to end; None: it is not.

    connections: of clients, of every kind. late: their time is over. asked: somebody wants it to end.
    """
    if asked:
        return "it was asked to"
    if not connections and (rule == "leave" or flat):
        return "its clients are gone" if rule == "leave" else "the account is flat, and its clients are gone"
    return "the time for its clients is over" if late else None
