"""When a venue without control is through."""

import pytest

from opslab.model.messages.venue_messages import OnOrphan
from opslab.venue.control.orphan_policy import over

FLAT_AND_GONE = "the account is flat, and its clients are gone"
GONE = "its clients are gone"
LATE = "the time for its clients is over"
ASKED = "it was asked to"


@pytest.mark.parametrize(
    ("rule", "flat", "connections", "late", "asked", "why"),
    [
        ("flatten", False, 1, False, False, None),
        ("flatten", True, 1, False, False, None),
        ("flatten", False, 0, False, False, None),
        ("flatten", True, 0, False, False, FLAT_AND_GONE),
        ("flatten", False, 1, True, False, LATE),
        ("flatten", False, 0, True, False, LATE),
        ("flatten", True, 0, True, False, FLAT_AND_GONE),
        ("flatten", False, 1, False, True, ASKED),
        ("leave", False, 1, False, False, None),
        ("leave", True, 1, False, False, None),
        ("leave", False, 0, False, False, GONE),
        ("leave", False, 1, True, False, LATE),
        ("leave", False, 1, False, True, ASKED),
    ],
)
def test_it_is_over(rule: OnOrphan, flat: bool, connections: int, late: bool, asked: bool, why: str | None) -> None:
    assert over(rule, flat=flat, connections=connections, late=late, asked=asked) == why
