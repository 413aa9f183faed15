"""A lock is taken immediately, within the timeout, or not."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest

from opslab.store.lock import take_lock


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The same folder, opened twice."""
    descriptors = [os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY) for _ in range(2)]
    yield descriptors[0], descriptors[1]
    for descriptor in descriptors:
        os.close(descriptor)


def test_one_process_has_the_lock_and_the_other_times_out(two: tuple[int, int]) -> None:
    assert take_lock(two[0], 0.0)
    began = time.monotonic()
    assert not take_lock(two[1], 0.1)
    assert 0.1 <= time.monotonic() - began < 5.0


def test_the_lock_is_taken_when_the_other_process_releases_it(tmp_path: Path, two: tuple[int, int]) -> None:
    other = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    assert take_lock(other, 0.0)
    Timer(0.1, os.close, [other]).start()
    assert take_lock(two[0], 30.0)


def test_what_cannot_be_locked_is_an_error(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_PATH)
    with pytest.raises(OSError, match="Bad file descriptor"):
        take_lock(descriptor, 30.0)
    os.close(descriptor)
