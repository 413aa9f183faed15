"""The states of a feed, and the times of its changes. Times are given."""

from typing import Any

import pytest

from opslab.nautilus.live.feed_state import Feed, FeedChange, judge

SILENT_AFTER = 2.0


def near(seconds: float) -> Any:
    """Equal to that number of seconds, within floating point error."""
    return pytest.approx(seconds)


@pytest.mark.parametrize(
    ("up_at", "last_at", "now", "state"),
    [
        (10.0, None, 10.5, "recovering"),
        (10.0, None, 12.0, "recovering"),
        (10.0, None, 12.1, "silent"),
        (10.0, 11.0, 12.9, "live"),
        (10.0, 11.0, 13.1, "silent"),
        (10.0, 9.9, 11.0, "recovering"),
        (10.0, 9.9, 12.1, "silent"),
        (None, 11.0, 11.0, "disconnected"),
        (None, None, 99.0, "disconnected"),
        (10.0, 10.0, 10.0, "live"),
    ],
)
def test_the_state_follows_from_connection_and_last_message(
    up_at: float | None, last_at: float | None, now: float, state: str
) -> None:
    assert judge(up_at, last_at, now, SILENT_AFTER) == state


def live_feed() -> Feed:
    feed = Feed(SILENT_AFTER, started_at=0.0)
    feed.message(0.5)
    assert feed.update(0.51) == FeedChange("recovering", "live", near(0.01), near(0.01))
    return feed


def test_a_feed_starts_recovering_and_a_change_is_reported_once() -> None:
    feed = Feed(SILENT_AFTER, started_at=0.0)
    assert feed.state == "recovering"
    assert feed.update(0.1) is None
    assert feed.age_seconds(0.1) is None
    feed.message(0.5)
    assert feed.update(0.6) is not None
    assert feed.update(0.7) is None


def test_silence_is_measured_from_the_last_message() -> None:
    feed = live_feed()
    assert feed.update(2.5) is None
    assert feed.update(2.6) == FeedChange("live", "silent", near(2.1), near(2.1))


def test_a_feed_without_a_message_has_no_age() -> None:
    feed = Feed(SILENT_AFTER, started_at=0.0)
    assert feed.update(2.5) == FeedChange("recovering", "silent", near(2.5), None)


def test_live_is_measured_from_the_first_message_not_the_last() -> None:
    feed = live_feed()
    feed.update(3.0)
    feed.message(4.0)
    feed.message(4.3)
    assert feed.update(4.4) == FeedChange("silent", "live", near(0.4), near(0.1))


def test_a_lost_connection_and_its_return_are_both_reported() -> None:
    feed = live_feed()
    feed.disconnected(1.0)
    assert feed.update(1.05) == FeedChange("live", "disconnected", near(0.05), near(0.55))
    assert feed.update(9.0) is None, "it does not become silent meanwhile"
    feed.connected(9.1)
    assert feed.update(9.2) == FeedChange("disconnected", "recovering", near(0.1), near(8.7))
    assert feed.update(11.0) is None, "the threshold starts anew with the connection"
    feed.message(11.05)
    assert feed.update(11.06) == FeedChange("recovering", "live", near(0.01), near(0.01))


def test_a_new_connection_without_a_message_becomes_silent() -> None:
    feed = live_feed()
    feed.disconnected(1.0)
    feed.update(1.0)
    feed.connected(1.2)
    feed.update(1.2)
    change = feed.update(3.3)
    assert change == FeedChange("recovering", "silent", near(2.1), near(2.8))


def test_a_message_from_before_the_loss_does_not_make_a_feed_live() -> None:
    feed = live_feed()
    feed.message(0.9)
    feed.disconnected(1.0)
    feed.update(1.0)
    feed.connected(1.2)
    change = feed.update(1.3)
    assert change is not None
    assert change.after == "recovering"


def test_a_repeated_socket_event_changes_nothing() -> None:
    feed = live_feed()
    feed.connected(0.9)
    assert feed.update(1.0) is None, "the earlier message still counts"
    feed.disconnected(1.0)
    feed.disconnected(5.0)
    change = feed.update(6.0)
    assert change is not None
    assert change.noticed_after_seconds == near(5.0)
