"""The list of runs: what is wanted, in which order, how many; and what holds of a run now."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from opslab.cli.run.listing import duration_text
from opslab.context import Context
from opslab.errors import Corrupt, Usage
from opslab.model.primitives.instant import iso, parse_iso
from opslab.model.run.event import RUN_FORMAT
from opslab.model.run.metadata import Owner, RunMetadata, Status
from opslab.runs.record.registry import list_runs, read_run, row_as_seen, row_of, show_run
from opslab.runs.record.selection import (
    MODES,
    SORT_KEYS,
    STATUSES,
    Row,
    Selection,
    one_of,
    parse_digest_prefix,
    parse_since,
    select,
)
from opslab.runs.record.state import as_seen
from opslab.store.layout import Layout
from opslab.store.runs.list_index import index_file, read_index, write_index

NOW_NS = parse_iso("2026-02-01T12:00:00.000000Z")
LATER_NS = 1 << 62
"""A clock for which every file has been at rest for long."""
OWNER = {"host": "h", "boot_id": "b", "pid": 7, "process_start": 9}
IDENTIFIED = {
    "run_id": "r1",
    "mode": "backtest",
    "strategy": {"name": "ops_smoke_demo", "version": "v1"},
    "venue": "binance",
    "instrument": "BTCUSDT",
    "risk_profile": "tiny",
    "lab_version": "0.1.0",
}
INTENT = {"format": RUN_FORMAT, **IDENTIFIED}
BEGUN = {**IDENTIFIED, "status": "initialized", "initialized_at": "2026-01-01T00:00:01.000000Z"}
RUNNING = {**BEGUN, "status": "running", "started_at": "2026-01-01T00:00:02.000000Z", "owner": OWNER}
COMPLETED = {**RUNNING, "status": "completed", "ended_at": "2026-01-01T00:00:03.000000Z"}

INITIALIZED = ("run_initialized", INTENT)
STARTED = ("run_started", {"owner": OWNER})
ENDED = ("run_completed", {"result_digest": "sha256:1"})


class Table:
    """A process table in which the owner lives or does not; `then` happens once somebody has asked."""

    def __init__(self, *, alive: bool = False, then: Callable[[], None] = lambda: None) -> None:
        self.alive = alive
        self.asked = 0
        self._then = then

    def this_process(self) -> Owner:
        raise NotImplementedError

    def is_alive(self, owner: Owner, run_id: str) -> bool:
        self.asked += 1
        self._then()
        return self.alive and owner == Owner.model_validate(OWNER)


class At:
    """A clock that stands."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_s(self) -> float:
        raise NotImplementedError


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def run_folder(layout: Layout, run_id: str = "r1") -> Path:
    folder = layout.runs / run_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_metadata(folder: Path, document: dict[str, Any]) -> None:
    """In one step, as the lab does it."""
    new = folder / ".metadata.json.tmp"
    new.write_text(json.dumps({**document, "run_id": folder.name}))
    new.replace(folder / "metadata.json")


def write_journal(folder: Path, *told: tuple[str, dict[str, Any]]) -> None:
    lines = [
        json.dumps(
            {"seq": seq, "time": f"2026-01-01T00:00:0{seq}.000000Z", "event": name, "payload": payload, "prev": None},
            separators=(",", ":"),
        )
        for seq, (name, payload) in enumerate(told, 1)
    ]
    (folder / "journal.jsonl").write_text("".join(line + "\n" for line in lines))


def listed(layout: Layout, table: Table, now_ns: int = LATER_NS) -> dict[str, Row]:
    return {row.run_id: row for row in list_runs(Context(layout, At(now_ns), table, str))}


# What is wanted.


def row(run_id: str, **changes: Any) -> Row:
    return Row(
        run_id,
        **{"mode": "backtest", "status": "completed", "initialized_at": "2026-01-01T00:00:00.000000Z", **changes},
    )


ROWS = [
    row("c", status="failed", dataset="one", input_digest="sha256:abcd1", bars_seen=3),
    row("a", mode="paper", dataset="two", initialized_at="2026-01-03T00:00:00.000000Z", bars_seen=10),
    row("b", status="running", dataset="one", initialized_at="2026-01-02T00:00:00.000000Z"),
    Row("y", error="torn"),
    Row("x", error="gone"),
]


def ids(wanted: Selection, rows: list[Row] = ROWS) -> str:
    return "".join(found.run_id for found in select(rows, wanted).rows)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Selection(), "cbaxy"),
        (Selection(statuses=frozenset({"failed"})), "c"),
        (Selection(statuses=frozenset({"failed", "running"})), "cb"),
        (Selection(mode="paper"), "a"),
        (Selection(dataset="one"), "cb"),
        (Selection(dataset="on"), ""),
        (Selection(since="2026-01-02T00:00:00.000000Z"), "ba"),
        (Selection(since="2026-01-02T00:00:00.000001Z"), "a"),
        (Selection(input_digest="sha256:abcd"), "c"),
        (Selection(input_digest="sha256:abce"), ""),
        (Selection(dataset="one", statuses=frozenset({"running"}), mode="backtest"), "b"),
        (Selection(dataset="two", statuses=frozenset({"running"})), ""),
    ],
)
def test_filters_hold_together_and_leave_out_what_cannot_be_read(wanted: Selection, found: str) -> None:
    assert ids(wanted) == found


AT = "2026-01-04T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("changes", "attention"),
    [
        *(({"status": status}, status) for status in ("failed", "interrupted", "halted")),
        *(({"status": status}, None) for status in ("initialized", "running", "completed", "safety_blocked")),
        *(({"status": status, "acknowledged_at": AT}, None) for status in ("failed", "interrupted", "halted")),
        *(({"reconciliation": state}, None) for state in ("ok", "warning", "unknown")),
        ({"reconciliation": "mismatch"}, "mismatch"),
        ({"reconciliation": "mismatch", "acknowledged_at": AT}, None),
        ({"reconciliation": "mismatch", "status": "safety_blocked"}, "mismatch"),
        ({"reconciliation": "mismatch", "status": "failed"}, "failed"),
        *(({"reconciliation": "mismatch", "status": status}, None) for status in ("initialized", "running")),
        ({"status": "interrupted", "ended_by": "owner_gone"}, "interrupted"),
    ],
)
def test_a_run_needs_attention_until_it_is_acknowledged(changes: dict[str, Any], attention: str | None) -> None:
    needs = row("n", **changes)
    assert needs.attention == attention
    page = select([*ROWS[1:], needs], Selection(unacknowledged=True))
    assert [found.run_id for found in page.rows] == (["n"] if attention else [])
    assert (page.total, page.unacknowledged, page.runs) == (int(bool(attention)), int(bool(attention)), 5)


def test_the_count_of_unacknowledged_runs_is_that_of_all_runs() -> None:
    page = select([*ROWS, row("d", status="halted")], Selection(mode="paper", limit=1))
    assert ([found.run_id for found in page.rows], page.unacknowledged) == (["a"], 2)


def test_an_unreadable_run_needs_no_acknowledgement() -> None:
    assert Row("x", error="gone").attention is None


def test_a_row_has_the_acknowledgement_and_the_last_reconciliation_of_its_run() -> None:
    run = RunMetadata.model_validate(COMPLETED)
    assert (row_of(run).acknowledged_at, row_of(run).reconciliation) == (None, None)
    settled = RunMetadata.model_validate(
        {
            **COMPLETED,
            "acknowledged": {"at": AT, "actor": "op", "reason": "x"},
            "reconciliation": {"state": "mismatch", "artifact": None, "digest": None},
        }
    )
    assert (row_of(settled).acknowledged_at, row_of(settled).reconciliation) == (AT, "mismatch")


@pytest.mark.parametrize(
    ("sort", "forwards", "backwards"),
    [
        ("initialized", "cbaxy", "abcxy"),
        ("run-id", "abcxy", "cbaxy"),
        ("status", "acbxy", "bcaxy"),
        ("mode", "bcaxy", "abcxy"),
        ("dataset", "bcaxy", "abcxy"),
        ("bars", "cabxy", "acbxy"),
    ],
)
def test_every_order_both_ways_with_ties_by_name_and_what_has_no_value_last(
    sort: str, forwards: str, backwards: str
) -> None:
    for _ in range(5):
        mixed = random.sample(ROWS, len(ROWS))
        assert ids(Selection(sort=sort), mixed) == forwards
        assert ids(Selection(sort=sort, reverse=True), mixed) == backwards


def test_durations_are_ordered_as_numbers() -> None:
    began = "2026-01-01T00:00:00.000000Z"
    rows = [
        row("a", started_at=began, ended_at="2026-01-01T00:10:00.000000Z"),
        row("b", started_at=began, ended_at="2026-01-01T00:09:59.500000Z"),
        row("c", started_at=began),
        row("d", started_at=began, ended_at="not a time"),
    ]
    assert ids(Selection(sort="duration"), rows) == "bacd"
    assert ids(Selection(sort="duration", reverse=True), rows) == "abcd"


@pytest.mark.parametrize(
    ("offset", "limit", "found"),
    [(0, 2, "cb"), (2, 2, "ax"), (4, 2, "y"), (5, 2, ""), (3, None, "xy"), (0, 1 << 70, "cbaxy"), (1 << 70, 1, "")],
)
def test_pages_put_together_are_the_list(offset: int, limit: int | None, found: str) -> None:
    page = select(ROWS, Selection(offset=offset, limit=limit))
    assert "".join(found.run_id for found in page.rows) == found
    assert (page.total, page.runs, page.unreadable) == (5, 5, 2)


def test_total_counts_what_matches_and_runs_all_there_are() -> None:
    page = select(ROWS, Selection(dataset="one", limit=1))
    assert (len(page.rows), page.total, page.runs, page.unreadable) == (1, 2, 5, 2)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
        ("2026-01-31T10:00", "2026-01-31T10:00:00.000000Z"),
        ("2026-01-31T10:00:07", "2026-01-31T10:00:07.000000Z"),
        ("2026-01-31T10:00:07Z", "2026-01-31T10:00:07.000000Z"),
        ("2026-01-31T10:00:07.5Z", "2026-01-31T10:00:07.500000Z"),
        ("0999-12-31", "0999-12-31T00:00:00.000000Z"),
        ("90m", "2026-02-01T10:30:00.000000Z"),
        ("24h", "2026-01-31T12:00:00.000000Z"),
        ("7d", "2026-01-25T12:00:00.000000Z"),
        ("0d", "2026-02-01T12:00:00.000000Z"),
        ("999999999d", "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_since_is_an_instant_or_an_age(text: str, instant: str) -> None:
    assert parse_since(text, NOW_NS) == instant
    assert len(instant) == len(iso(NOW_NS)), "compares with what the journal writes"


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "yesterday", "2026-02-30", "2026-1-3", "20260131", "2026-01-31T25:00", "2026-01-31T10:00:00+02:00"),
        *("7", "7w", "-7d", "1.5h", "9999999999d", "٣d", "2026-01-31 10:00", "2026-W05-6", "0000-01-01", "7d\n"),
    ],
)
def test_since_refuses_everything_else_with_examples(text: str) -> None:
    with pytest.raises(Usage) as refused:
        parse_since(text, NOW_NS)
    assert "2026-01-31T10:00:00Z" in (refused.value.hint or "")


@pytest.mark.parametrize("text", ["abcd", "sha256:abcd", "ABCD", "sha256:ABcd", "SHA256:abcd"])
def test_a_digest_prefix_is_read_with_or_without_its_kind(text: str) -> None:
    assert parse_digest_prefix(text) == "sha256:abcd"


@pytest.mark.parametrize("text", ["", "abc", "sha256:", "sha256:abc", "abcg", "md5:abcd", "a" * 65, "abcd\n"])
def test_what_is_no_beginning_of_a_digest_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        parse_digest_prefix(text)


def test_an_unknown_word_is_refused_with_the_nearest_and_all_known() -> None:
    with pytest.raises(Usage) as refused:
        one_of("--status", "complete", STATUSES)
    assert "did you mean 'completed'?" in refused.value.message
    assert all(word in (refused.value.hint or "") for word in STATUSES)


def test_the_words_are_those_of_the_model() -> None:
    assert get_args(Status) == STATUSES
    assert get_args(RunMetadata.model_fields["mode"].annotation) == MODES
    assert set(SORT_KEYS) == {"initialized", "run-id", "status", "mode", "dataset", "bars", "duration"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (-1.0, ""),
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.95, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7980, "2 h 13 min"),
    ],
)
def test_a_duration_reads_as_one_says_it(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


# What holds now.


@pytest.mark.parametrize("alive", [True, False])
def test_a_row_is_seen_as_its_run_is(alive: bool) -> None:
    for document in (BEGUN, RUNNING, COMPLETED):
        run = RunMetadata.model_validate(document)
        assert row_as_seen(row_of(run), alive) == row_of(as_seen(run, Table(alive=alive)))


@pytest.mark.parametrize(
    ("metadata", "told", "alive", "status", "ended_by"),
    [
        (COMPLETED, (), False, "completed", None),
        (BEGUN, (), False, "initialized", None),
        (RUNNING, (INITIALIZED, STARTED), True, "running", None),
        (RUNNING, (INITIALIZED, STARTED), False, "interrupted", "owner_gone"),
        (RUNNING, (INITIALIZED, STARTED, ENDED), False, "completed", None),
        (RUNNING, (), False, "interrupted", "owner_gone"),
        (BEGUN, (INITIALIZED, STARTED), False, "interrupted", "owner_gone"),
        (BEGUN, (INITIALIZED, STARTED), True, "running", None),
        (None, (INITIALIZED, STARTED, ENDED), False, "completed", None),
        (None, (INITIALIZED, STARTED), True, "running", None),
        (None, (INITIALIZED, STARTED), False, "interrupted", "owner_gone"),
        (None, (INITIALIZED,), False, "initialized", None),
        ("torn", (INITIALIZED, STARTED, ENDED), False, "completed", None),
        ("torn", (), False, None, None),
        (None, (), False, None, None),
        (None, (STARTED,), False, None, None),
        (None, (("run_initialized", {**INTENT, "mode": "both"}),), False, None, None),
        (None, (INITIALIZED, ("run_completed", {"result_digest": 5})), False, None, None),
        (None, (("run_initialized", {**INTENT, "run_id": "r2"}),), False, None, None),
        (RUNNING, (("run_initialized", {**INTENT, "run_id": "r2"}),), False, "interrupted", "owner_gone"),
    ],
)
def test_list_and_show_say_what_holds_now_with_an_index_and_without(
    layout: Layout, metadata: Any, told: Any, alive: bool, status: str | None, ended_by: str | None
) -> None:
    folder = run_folder(layout)
    if metadata == "torn":
        (folder / "metadata.json").write_text('{"run_id": "r')
    elif metadata:
        write_metadata(folder, metadata)
    if told:
        write_journal(folder, *told)
    for _ in range(3):
        found = listed(layout, Table(alive=alive))["r1"]
        assert (found.status, found.ended_by) == (status, ended_by)
        assert (found.error is None) == (status is not None)
    if status is None:
        with pytest.raises(Corrupt):
            show_run(Context(layout, At(0), Table(alive=alive), str), "r1")
    else:
        assert row_of(show_run(Context(layout, At(0), Table(alive=alive), str), "r1")[0]) == found
    assert ("r1" in read_index(layout, Row._fields)) == (status is not None)


def test_metadata_of_another_run_is_corrupt_even_with_a_good_journal(layout: Layout) -> None:
    folder = run_folder(layout)
    (folder / "metadata.json").write_text(json.dumps({**COMPLETED, "run_id": "r2"}))
    write_journal(folder, INITIALIZED, STARTED, ENDED)
    assert "is of run r2" in (listed(layout, Table())["r1"].error or "")


def test_what_cannot_be_read_says_both_reasons(layout: Layout) -> None:
    folder = run_folder(layout)
    (folder / "metadata.json").mkdir()
    (folder / "journal.jsonl").write_text("what?\n")
    with pytest.raises(Corrupt) as refused:
        read_run(folder, Table())
    assert refused.value.message == (
        "run r1: metadata.json is not a file; journal.jsonl, line 1 (byte 0) is not an event"
    )


@pytest.mark.parametrize("metadata", [RUNNING, None], ids=["metadata", "journal-only"])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_run_that_ends_while_it_is_looked_at_is_never_taken_for_dead(
    layout: Layout, metadata: dict[str, Any] | None, indexed: bool
) -> None:
    """Its owner writes the end and goes just before the process table is asked."""
    folder = run_folder(layout)
    write_journal(folder, INITIALIZED, STARTED)
    if metadata:
        write_metadata(folder, metadata)
    if indexed:
        assert listed(layout, Table(alive=True))["r1"].status == "running"

    def end() -> None:
        write_journal(folder, INITIALIZED, STARTED, ENDED)

    assert listed(layout, Table(alive=False, then=end))["r1"].status == "completed"
    write_journal(folder, INITIALIZED, STARTED)
    assert show_run(Context(layout, At(0), Table(alive=False, then=end), str), "r1")[0].status == "completed"


# The index.


def test_running_is_never_said_without_asking_the_process_table(layout: Layout) -> None:
    write_metadata(run_folder(layout), RUNNING)
    for alive, status in ((True, "running"), (True, "running"), (False, "interrupted"), (False, "interrupted")):
        table = Table(alive=alive)
        assert listed(layout, table)["r1"].status == status
        assert table.asked


def test_what_the_index_holds_is_not_read_again(layout: Layout) -> None:
    write_metadata(run_folder(layout), COMPLETED)
    write_journal(run_folder(layout, "r2"), ("run_initialized", {**INTENT, "run_id": "r2"}))
    listed(layout, Table())
    strategy = Row._fields.index("strategy")
    entries = read_index(layout, Row._fields)
    for entry in entries.values():
        entry.values[strategy] = "from the index"
    write_index(layout, Row._fields, entries)
    assert {row.strategy for row in listed(layout, Table()).values()} == {"from the index"}


def test_what_changed_within_a_clock_tick_is_not_kept(layout: Layout) -> None:
    folder = run_folder(layout)
    write_metadata(folder, COMPLETED)
    changed_ns = (folder / "metadata.json").stat().st_ctime_ns
    listed(layout, Table(), changed_ns + 1_000_000_000)
    assert not read_index(layout, Row._fields)
    listed(layout, Table(), changed_ns + 3_000_000_000)
    assert set(read_index(layout, Row._fields)) == {"r1"}
    listed(layout, Table(), changed_ns + 1_000_000_000)
    assert not read_index(layout, Row._fields), "the clock was set back"


def test_a_file_of_equal_size_in_the_place_of_the_old_one_is_seen(layout: Layout) -> None:
    """In another inode, in the same one, and with the time of its content set back."""
    folder = run_folder(layout)
    file = folder / "metadata.json"
    write_metadata(folder, {**COMPLETED, "result_digest": "sha256:a"})
    assert listed(layout, Table())["r1"].result_digest == "sha256:a"
    write_metadata(folder, {**COMPLETED, "result_digest": "sha256:b"})
    assert listed(layout, Table())["r1"].result_digest == "sha256:b"
    before = file.stat()
    with file.open("r+") as stream:
        text = stream.read()
        stream.seek(0)
        stream.write(text.replace("sha256:b", "sha256:c"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_ino, after.st_mtime_ns) == (before.st_size, before.st_ino, before.st_mtime_ns)
    assert listed(layout, Table())["r1"].result_digest == "sha256:c"


def test_the_index_is_written_only_when_something_changed(layout: Layout) -> None:
    assert not listed(layout, Table())
    assert not index_file(layout).exists(), "nothing to keep"
    write_metadata(run_folder(layout), COMPLETED)
    listed(layout, Table())
    before = index_file(layout).stat()
    listed(layout, Table())
    assert index_file(layout).stat().st_mtime_ns == before.st_mtime_ns
    write_metadata(run_folder(layout), {**COMPLETED, "ended_by": "SIGINT"})
    listed(layout, Table())
    assert index_file(layout).stat().st_mtime_ns != before.st_mtime_ns


def test_a_run_that_is_gone_leaves_the_list_and_the_index(layout: Layout) -> None:
    for name in ("r1", "r2"):
        write_metadata(run_folder(layout, name), COMPLETED)
    assert set(listed(layout, Table())) == {"r1", "r2"}
    (layout.runs / "r1").rename(layout.home / "elsewhere")
    assert set(listed(layout, Table())) == {"r2"}
    assert set(read_index(layout, Row._fields)) == {"r2"}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: b"\x00\xff garbage",
        lambda data: b"{}",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"completed", b"cOmpleted"),
        lambda data: data.replace(b'"version": 2', b'"version": 3'),
        lambda data: data.replace(b'"run_id", ', b""),
        lambda data: data + b"x",
        lambda data: b"[" * 100_000,
    ],
)
def test_an_index_that_does_not_hold_together_counts_as_none(layout: Layout, change: Callable[[bytes], bytes]) -> None:
    write_metadata(run_folder(layout), COMPLETED)
    first = listed(layout, Table())
    good = index_file(layout).read_bytes()
    index_file(layout).write_bytes(change(good))
    assert change(good) != good
    assert not read_index(layout, Row._fields)
    assert listed(layout, Table()) == first
    assert index_file(layout).read_bytes() == good


def test_an_index_of_another_home_says_nothing_of_this_one(tmp_path: Path) -> None:
    one, other = Layout(tmp_path / "one"), Layout(tmp_path / "other")
    write_metadata(run_folder(one), COMPLETED)
    write_metadata(run_folder(other), {**COMPLETED, "status": "halted"})
    listed(one, Table())
    index_file(other).parent.mkdir(parents=True)
    index_file(other).write_bytes(index_file(one).read_bytes())
    assert listed(other, Table())["r1"].status == "halted"
