"""The end of an orphaned venue."""

import pytest

from opslab.model.messages.venue_messages import OnOrphan
from opslab.venue.control.orphan_policy import end_reason

FLAT_AND_DISCONNECTED = "the account is flat and no client is connected"
DISCONNECTED = "no client is connected"
TIMED_OUT = "the time for clients is over"
STOP_REQUESTED = "stop requested"


@pytest.mark.parametrize(
    ("policy", "flat", "connections", "timed_out", "stop_requested", "reason"),
    [
        ("flatten", False, 1, False, False, None),
        ("flatten", True, 1, False, False, None),
        ("flatten", False, 0, False, False, None),
        ("flatten", True, 0, False, False, FLAT_AND_DISCONNECTED),
        ("flatten", False, 1, True, False, TIMED_OUT),
        ("flatten", False, 0, True, False, TIMED_OUT),
        ("flatten", True, 0, True, False, FLAT_AND_DISCONNECTED),
        ("flatten", False, 1, False, True, STOP_REQUESTED),
        ("leave", False, 1, False, False, None),
        ("leave", True, 1, False, False, None),
        ("leave", False, 0, False, False, DISCONNECTED),
        ("leave", False, 1, True, False, TIMED_OUT),
        ("leave", False, 1, False, True, STOP_REQUESTED),
    ],
)
def test_the_reason_to_end(
    policy: OnOrphan, flat: bool, connections: int, timed_out: bool, stop_requested: bool, reason: str | None
) -> None:
    assert (
        end_reason(policy, flat=flat, connections=connections, timed_out=timed_out, stop_requested=stop_requested)
        == reason
    )
