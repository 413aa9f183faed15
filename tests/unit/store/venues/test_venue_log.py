"""The venue's event log: stamped, bounded, and what matters is not pushed out by a flood."""

import json
from pathlib import Path
from typing import Any

from opslab.store.venues.venue_log import PREVIOUS, MAX_CONNECTION_EVENTS_PER_SECOND, NAME, VenueLog


class Hands:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000 + int(self.seconds * 1e9)

    def monotonic_s(self) -> float:
        return self.seconds


def lines(folder: Path, name: str = NAME) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_a_line_has_both_clocks(tmp_path: Path) -> None:
    log = VenueLog(tmp_path, Hands())
    assert log.write("fault_started", {"fault": "silence", "number": 1})
    log.close()
    [line] = lines(tmp_path)
    assert line == {
        "time": "2023-11-14T22:15:00.000000Z", "monotonic_s": 100.0,
        "event": "fault_started", "fault": "silence", "number": 1,
    }  # fmt: skip


def test_a_flood_of_connections_is_left_out_and_counted_and_nothing_else_is(tmp_path: Path) -> None:
    clock = Hands()
    log = VenueLog(tmp_path, clock)
    written = sum(log.write("connected", {}) for _ in range(1_000))
    assert written == MAX_CONNECTION_EVENTS_PER_SECOND
    assert log.write("fault_started", {})
    clock.seconds += 1
    assert log.write("connected", {})
    log.close()
    found = lines(tmp_path)
    assert found[-2] == {**found[-2], "event": "fault_started", "dropped": 1_000 - MAX_CONNECTION_EVENTS_PER_SECOND}
    assert "dropped" not in found[-1]


def test_a_file_that_is_full_becomes_the_one_before(tmp_path: Path) -> None:
    log = VenueLog(tmp_path, Hands(), max_bytes=2_000)
    for number in range(100):
        log.write("fault_started", {"number": number})
    log.close()
    kept = [line["number"] for name in (PREVIOUS, NAME) for line in lines(tmp_path, name)]
    assert kept == list(range(kept[0], 100))
    assert 1 < len(kept) < 100
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * 2_000


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    for number in range(2):
        log = VenueLog(tmp_path, Hands())
        log.write("fault_started", {"number": number})
        log.close()
    assert [line["number"] for line in lines(tmp_path)] == [0, 1]


def test_what_cannot_be_written_is_counted_and_told_later(tmp_path: Path) -> None:
    log = VenueLog(tmp_path, Hands())
    file = log._file
    log._file = -1
    log.write("fault_started", {"number": 0})
    log._file = file
    log.write("fault_started", {"number": 1})
    log.close()
    [line] = lines(tmp_path)
    assert (line["number"], line["dropped"]) == (1, 1)
