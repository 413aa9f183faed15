"""The end of an orphaned venue: one whose control process has ended."""

from opslab.model.messages.venue_messages import OnOrphan

ORPHAN_POLL_SECONDS = 0.05
FLATTEN_ATTEMPTS = 3
FLATTEN_RETRY_SECONDS = 1.0
FINAL_UPDATE_SECONDS = 1.0
"""Time allowed for clients to receive the last account updates."""


def end_reason(policy: OnOrphan, *, flat: bool, connections: int, timed_out: bool, stop_requested: bool) -> str | None:
    """The reason to end now; None: serve on.

    connections: number of client connections of every kind. timed_out: the time that clients have is over.
    """
    if stop_requested:
        return "stop requested"
    if not connections and (policy == "leave" or flat):
        return "no client is connected" if policy == "leave" else "the account is flat and no client is connected"
    return "the time for clients is over" if timed_out else None
