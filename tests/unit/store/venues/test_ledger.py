"""The venue's ledger on disk: a chain of atomic transactions with one writer at a time."""

import errno
import hashlib
import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from opslab.errors import Corrupt, Environment, Unwritable
from opslab.ports import Moment
from opslab.store.venues.ledger import Flock, LedgerEntry, LedgerFile, locked_ledger, read_ledger
from opslab.system import SystemClock

LEDGER = "ledger.jsonl"
START = Moment(0, 0)


def opened(folder: Path) -> LedgerFile:
    """Ready to be appended to."""
    ledger = LedgerFile(folder, SystemClock())
    list(ledger.history())
    return ledger


def append(folder: Path, *names: str, at: Moment = START) -> None:
    with opened(folder) as ledger:
        for name in names:
            ledger.append([{"kind": name, "amount": "1.50"}, {"kind": "and"}], at)


def names(folder: Path) -> list[str]:
    return [transaction.events[0]["kind"] for transaction in read_ledger(folder)]


def assert_chained(folder: Path) -> int:
    """Numbers without gaps, each line holding the digest of the one before; returns how many."""
    lines = (folder / LEDGER).read_bytes().splitlines(keepends=True)
    records = [json.loads(line) for line in lines]
    assert [one["seq"] for one in records] == list(range(1, len(lines) + 1))
    assert records[0]["prev"] is None
    for (line, _), (_, behind) in pairwise(zip(lines, records, strict=True)):
        assert behind["prev"] == "sha256:" + hashlib.sha256(line).hexdigest()
    return len(lines)


@contextmanager
def no_file_beyond(size_bytes: int) -> Iterator[None]:
    """As a disk that is full: no file of this process may grow past a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# The chain.


def test_transactions_are_numbered_and_chained_over_restarts(tmp_path: Path) -> None:
    append(tmp_path, "one", "two")
    append(tmp_path, "three")
    assert assert_chained(tmp_path) == 3
    assert names(tmp_path) == ["one", "two", "three"]


def test_a_transaction_is_read_as_it_was_written(tmp_path: Path) -> None:
    events = [{"kind": "filled", "price": "42000.10", "maker": True, "note": 'é"\n', "none": None, "n": 2**60}]
    with opened(tmp_path) as ledger:
        ledger.append(events, Moment(7, 3))
    [entry] = read_ledger(tmp_path)
    assert entry == LedgerEntry(1, entry.time, Moment(7, 3), tuple(events))
    assert (tmp_path / LEDGER).read_bytes().count(b"\n") == 1


def test_a_missing_ledger_is_empty(tmp_path: Path) -> None:
    assert list(read_ledger(tmp_path)) == []
    assert list(read_ledger(tmp_path / "nowhere")) == []
    with opened(tmp_path / "new" / "folder") as ledger:
        assert ledger.moment() == START
        assert ledger.torn_bytes == 0


@pytest.mark.parametrize("change", ["event", "prev", "seq", "gone", "twice", "order", "first"])
def test_the_line_that_was_changed_is_named(tmp_path: Path, change: str) -> None:
    append(tmp_path, "one", "two", "three", "four")
    path = tmp_path / LEDGER
    lines = path.read_bytes().splitlines(keepends=True)
    changed = {
        "event": [lines[0], lines[1].replace(b"two", b"owt"), *lines[2:]],
        "prev": [lines[0], lines[1].replace(b"sha256:", b"sha256:0"), *lines[2:]],
        "seq": [lines[0], lines[1].replace(b'"seq":2', b'"seq":7'), *lines[2:]],
        "gone": [lines[0], *lines[2:]],
        "twice": [lines[0], lines[1], *lines[1:]],
        "order": [lines[0], lines[2], lines[1], lines[3]],
        "first": [lines[0].replace(b'"prev":null', b'"prev":"sha256:0"'), *lines[1:]],
    }[change]
    path.write_bytes(b"".join(changed))
    line = {"event": 3, "prev": 2, "seq": 2, "gone": 2, "twice": 3, "order": 2, "first": 1}[change]
    with pytest.raises(Corrupt) as error:
        list(read_ledger(tmp_path))
    assert (error.value.file, error.value.line) == (LEDGER, line)
    assert error.value.byte == sum(len(one) for one in changed[: line - 1])
    with LedgerFile(tmp_path, SystemClock()) as ledger, pytest.raises(Corrupt):
        list(ledger.history())
    assert path.read_bytes() == b"".join(changed)


def test_a_change_of_any_byte_is_found(tmp_path: Path) -> None:
    """But for the last line, which nothing vouches for yet: what it says is the audit's to judge."""
    append(tmp_path, "one", "two", "three")
    path = tmp_path / LEDGER
    whole = path.read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    for place in range(last):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(Corrupt) as error:
            list(read_ledger(tmp_path))
        assert error.value.line is not None
        assert error.value.line <= whole[:place].count(b"\n") + 2


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"null",
        b"nonsense",
        b"",
        b"\xff\xfe",
        b'{"seq":2}',
        b'{"seq":2,"time":"","minute":0,"tick":0}',
        b'{"seq":2,"time":"","minute":"0","tick":0,"events":[],"prev":""}',
    ],
)
def test_a_line_that_is_not_a_transaction_is_named(tmp_path: Path, line: bytes) -> None:
    append(tmp_path, "one")
    path = tmp_path / LEDGER
    size = path.stat().st_size
    with open(path, "ab") as stream:
        stream.write(line + b"\n")
    with pytest.raises(Corrupt) as error:
        list(read_ledger(tmp_path))
    assert (error.value.line, error.value.byte) == (2, size)


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    append(tmp_path, "one")
    with open(tmp_path / LEDGER, "ab") as stream:
        stream.write(b"x" * 5000)
    with pytest.raises(Corrupt) as error:
        list(read_ledger(tmp_path, max_line_bytes=1000))
    assert error.value.line == 2


# Deaths.


def test_a_line_torn_at_any_byte_is_moved_aside_without_losing_earlier_lines(tmp_path: Path) -> None:
    append(tmp_path, "one", "two", "three")
    whole = (tmp_path / LEDGER).read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for end in range(start, len(whole) + 1):
        folder = tmp_path / str(end)
        folder.mkdir()
        (folder / LEDGER).write_bytes(whole[:end])
        kept = ["one", "two", "three"] if end == len(whole) else ["one", "two"]
        assert names(folder) == kept
        assert (folder / LEDGER).read_bytes() == whole[:end]  # who only reads changes nothing
        with opened(folder) as ledger:
            torn = b"" if end == len(whole) else whole[start:end]
            assert ledger.torn_bytes == len(torn)
            ledger.append([{"kind": "next"}], START)
        aside = list(folder.glob("ledger-torn-at-*.bin"))
        assert [path.read_bytes() for path in aside] == ([torn] if torn else [])
        assert names(folder) == [*kept, "next"]
        assert assert_chained(folder) == len(kept) + 1


def test_a_torn_first_line_leaves_an_empty_ledger(tmp_path: Path) -> None:
    append(tmp_path, "one")
    path = tmp_path / LEDGER
    path.write_bytes(path.read_bytes()[:-1])
    append(tmp_path, "again")
    assert names(tmp_path) == ["again"]


def test_a_torn_line_longer_than_the_first_block_is_cut(tmp_path: Path) -> None:
    append(tmp_path, "one")
    with open(tmp_path / LEDGER, "ab") as stream:
        stream.write(b"x" * 100_000)
    with opened(tmp_path) as ledger:
        assert ledger.torn_bytes == 100_000
    assert names(tmp_path) == ["one"]


def test_a_reader_sees_complete_transactions_while_the_ledger_grows(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        for number in range(1, 20):
            ledger.append([{"kind": str(number)}], START)
            assert len(names(tmp_path)) == number


# A disk that is full.


def test_an_append_that_does_not_fit_leaves_no_byte_and_succeeds_later(tmp_path: Path) -> None:
    append(tmp_path, "one", "two")
    path = tmp_path / LEDGER
    before = path.read_bytes()
    size = len(before)
    line = size - (before[:-1].rindex(b"\n") + 1)
    with opened(tmp_path) as ledger:
        for room in range(line):
            with no_file_beyond(size + room), pytest.raises(Unwritable):
                ledger.append([{"kind": "six", "amount": "1.50"}, {"kind": "and"}], START)
            assert path.read_bytes() == before
        ledger.append([{"kind": "six", "amount": "1.50"}, {"kind": "and"}], START)
    assert names(tmp_path) == ["one", "two", "six"]
    assert assert_chained(tmp_path) == 3


def test_no_line_follows_an_incomplete_line_that_could_not_be_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path, "one")
    path = tmp_path / LEDGER
    size = path.stat().st_size

    def fail(_file: int, _size: int) -> None:
        raise OSError(5, "Input/output error")

    with opened(tmp_path) as ledger:
        with monkeypatch.context() as broken:
            broken.setattr(os, "ftruncate", fail)
            with no_file_beyond(size + 10), pytest.raises(Unwritable):
                ledger.append([{"kind": "two"}], START)
            assert path.stat().st_size == size + 10
            with pytest.raises(Unwritable):
                ledger.append([{"kind": "three"}], START)
            assert path.stat().st_size == size + 10
        ledger.append([{"kind": "four"}], START)
    assert names(tmp_path) == ["one", "four"]
    assert assert_chained(tmp_path) == 2


def test_a_transaction_that_was_not_synced_was_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path, "one")

    def fail(_file: int) -> None:
        raise OSError(5, "Input/output error")

    with opened(tmp_path) as ledger:
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", fail)
            with pytest.raises(Unwritable):
                ledger.append([{"kind": "two"}], START)
        assert names(tmp_path) == ["one"]
        ledger.append([{"kind": "three"}], START)
    assert names(tmp_path) == ["one", "three"]


def test_space_for_the_replay_position_is_reserved_at_the_start(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        size = (tmp_path / "position").stat().st_size
        for moment in (START, Moment(99_999_999_999, 60_000), Moment(3, 2)):
            ledger.mark(moment)
            assert (tmp_path / "position").stat().st_size == size
            assert ledger.moment() == moment
        with no_file_beyond(0), pytest.raises(Unwritable):
            ledger.mark(Moment(4, 0))
        assert ledger.moment() == Moment(3, 2)


@pytest.mark.parametrize("in_the_way", ["folder", LEDGER, "position"])
def test_a_foreign_file_in_the_way_is_named(tmp_path: Path, in_the_way: str) -> None:
    folder = tmp_path / "venue"
    if in_the_way == "folder":
        folder.write_text("a file")
    else:
        (folder / in_the_way).mkdir(parents=True)
    with pytest.raises(Unwritable):
        LedgerFile(folder, SystemClock())


# One at a time.


def test_a_second_opener_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        ledger.append([{"kind": "one"}], START)
        with open(tmp_path / LEDGER, "ab") as stream:
            stream.write(b"half a li")  # the first one is in the middle of it
        with pytest.raises(Environment) as refused:
            LedgerFile(tmp_path, SystemClock())
        assert refused.value.hint
        assert (tmp_path / LEDGER).read_bytes().endswith(b"half a li")
        assert list(tmp_path.glob("ledger-torn-*")) == []
    with opened(tmp_path) as ledger:
        assert ledger.torn_bytes == len(b"half a li")


def hold(folder: Path, ready: Any) -> None:
    ledger = opened(folder)
    ledger.append([{"kind": "held"}], START)
    ready.set()
    signal.pause()


def test_a_killed_holder_releases_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready), daemon=True)
    holder.start()
    assert ready.wait(30)
    with pytest.raises(Environment):
        LedgerFile(tmp_path, SystemClock())
    holder.kill()
    holder.join(30)
    append(tmp_path, "next")
    assert names(tmp_path) == ["held", "next"]


# Where the replay is.


def test_the_replay_continues_at_the_later_of_mark_and_last_transaction(tmp_path: Path) -> None:
    append(tmp_path, "one", at=Moment(4, 7))
    with opened(tmp_path) as ledger:
        assert ledger.moment() == Moment(4, 7)
        ledger.mark(Moment(4, 9))
    with opened(tmp_path) as ledger:
        assert ledger.moment() == Moment(4, 9)
        ledger.mark(Moment(5, 0))
        ledger.append([{"kind": "two"}], Moment(5, 0))
    with opened(tmp_path) as ledger:
        assert ledger.moment() == Moment(5, 0)


@pytest.mark.parametrize("left", [b"", b"\0" * 24, b"         12", b"a b\n", b"\xff" * 24, b"1 2 3"])
def test_a_mark_damaged_by_a_power_cut_is_ignored(tmp_path: Path, left: bytes) -> None:
    append(tmp_path, "one", at=Moment(4, 7))
    (tmp_path / "position").write_bytes(left)
    with opened(tmp_path) as ledger:
        assert ledger.moment() == Moment(4, 7)


def test_space_for_the_last_entries_is_reserved_until_it_is_used(tmp_path: Path) -> None:
    room = tmp_path / ".room"
    with opened(tmp_path) as ledger:
        assert room.stat().st_blocks * 512 >= 64 << 10
        ledger.append([{"kind": "one"}], START)
        ledger.use_reserve()
        assert not room.exists()
        ledger.use_reserve()
        ledger.append([{"kind": "two"}], START)
    with opened(tmp_path):
        assert room.exists()
    assert names(tmp_path) == ["one", "two"]


@pytest.mark.parametrize(
    "lock_it",
    [
        lambda folder, flock: LedgerFile(folder, SystemClock(), flock),
        lambda folder, flock: locked_ledger(folder, flock).__enter__(),
    ],
    ids=["to write", "at rest"],
)
def test_a_file_system_without_locks_is_named(tmp_path: Path, lock_it: Callable[[Path, Flock], object]) -> None:
    opened(tmp_path).close()

    def refuse(_file: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with pytest.raises(Unwritable, match="No locks available"):
        lock_it(tmp_path, refuse)
