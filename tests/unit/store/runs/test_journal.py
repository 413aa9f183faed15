"""The journal: a chain that several processes can extend and a crash cannot break."""

import hashlib
import json
import multiprocessing
from itertools import pairwise
from pathlib import Path

import pytest

from opslab.errors import Corrupt
from opslab.store.runs.journal import Journal, last_event, read_bodies, read_events, read_lifecycle
from opslab.system import SystemClock


def append(folder: Path, names: list[str]) -> None:
    with Journal(folder, SystemClock()) as journal:
        for name in names:
            journal.append(name, {"by": name})


def assert_chained(folder: Path) -> int:
    """Sequence numbers without gaps, each line holding the digest of the one before; returns how many."""
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    events = [json.loads(line) for line in lines]
    assert [event["seq"] for event in events] == list(range(1, len(lines) + 1))
    assert events[0]["prev"] is None
    for (line, _), (_, event) in pairwise(zip(lines, events, strict=True)):
        assert event["prev"] == "sha256:" + hashlib.sha256(line).hexdigest()
    return len(lines)


def test_lines_are_numbered_and_chained(tmp_path: Path) -> None:
    append(tmp_path, ["run_initialized", "run_started"])
    append(tmp_path, ["run_completed"])
    assert assert_chained(tmp_path) == 3
    assert [event.event for event in read_events(tmp_path)] == ["run_initialized", "run_started", "run_completed"]


def test_several_processes_append_to_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append, args=(tmp_path, [f"w{n}"] * 50)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert assert_chained(tmp_path) == 150


def test_a_line_torn_at_any_byte_loses_nothing_before_it(tmp_path: Path) -> None:
    append(tmp_path, ["run_initialized", "run_started", "run_completed"])
    whole = (tmp_path / "journal.jsonl").read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for end in range(start, len(whole)):
        folder = tmp_path / str(end)
        folder.mkdir()
        (folder / "journal.jsonl").write_bytes(whole[:end])
        assert [event.event for event in read_events(folder)] == ["run_initialized", "run_started"]
        append(folder, ["run_interrupted"])
        kept = list(folder.glob("journal-torn-*"))
        assert [path.read_bytes() for path in kept] == ([whole[start:end]] if end > start else [])
        said = [event for event in read_events(folder) if event.event == "journal_torn_end_kept"]
        assert [event.payload["file"] for event in said] == [path.name for path in kept]
        assert assert_chained(folder) == 3 + len(kept)


def test_a_line_longer_than_the_first_block_is_found(tmp_path: Path) -> None:
    with Journal(tmp_path, SystemClock()) as journal:
        journal.append("run_initialized", {"text": "x" * 100_000})
        journal.append("run_started", {"text": "y" * 50_000})
    append(tmp_path, ["run_completed"])
    assert assert_chained(tmp_path) == 3


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    append(tmp_path, ["run_initialized", "run_started", "run_completed"])
    path = tmp_path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{not json}\n" + lines[2])
    with pytest.raises(Corrupt, match="line 2"):
        list(read_events(tmp_path))


@pytest.mark.parametrize("change", ["payload", "prev", "seq", "gone", "twice"])
def test_the_chain_breaks_where_a_line_was_changed(tmp_path: Path, change: str) -> None:
    append(tmp_path, ["run_initialized", "run_started", "data_verified", "run_completed"])
    path = tmp_path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    changed = {
        "payload": [lines[0], lines[1].replace(b"run_started", b"run_startet"), *lines[2:]],
        "prev": [lines[0], lines[1].replace(b"sha256:", b"sha256:0"), *lines[2:]],
        "seq": [lines[0], lines[1].replace(b'"seq":2', b'"seq":7'), *lines[2:]],
        "gone": [lines[0], *lines[2:]],
        "twice": [lines[0], lines[1], *lines[1:]],
    }[change]
    path.write_bytes(b"".join(changed))
    line = {"payload": 3, "prev": 2, "seq": 2, "gone": 2, "twice": 3}[change]
    start = sum(len(one) for one in changed[: line - 1])
    with pytest.raises(Corrupt, match=rf"line {line} \(byte {start}\)"):
        list(read_events(tmp_path))


def test_lifecycle_events_are_read_without_parsing_the_others(tmp_path: Path) -> None:
    with Journal(tmp_path, SystemClock()) as journal:
        journal.append("run_initialized", {"note": '"event":"order_event"'})
        journal.append_many([("order_event", {"event": "run_started"})] * 3)
        journal.append("run_completed", {})
    assert [event.event for event in read_lifecycle(tmp_path)] == ["run_initialized", "run_completed"]
    last = last_event(tmp_path)
    assert last is not None
    assert last.event == "run_completed"
    said = list(read_bodies(tmp_path, ["order_event"]))
    assert [number for number, _ in said] == [2, 3, 4]
    assert {text for _, text in said} == {b'{"event":"order_event","payload":{"event":"run_started"}}'}


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    append(tmp_path, ["run_initialized"])
    with open(tmp_path / "journal.jsonl", "ab") as stream:
        stream.write(b"x" * 5000)
    with pytest.raises(Corrupt, match=r"line 2 .* never ends"):
        list(read_events(tmp_path, max_line_bytes=1000))
