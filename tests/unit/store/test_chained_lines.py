"""Journal and ledger on disk: the bytes of their lines, byte for byte, and the end of the chain."""

import hashlib
from pathlib import Path

import pytest

from opslab.errors import Corrupt
from opslab.ports import Moment
from opslab.store.runs.journal import Journal, events_after, last_event, read_events
from opslab.store.venues.ledger import LedgerFile, read_ledger
from tests.fakes.paper_journals import RecordedClock

TIME = "2026-01-02T03:04:05.678901Z"
CLOCK = RecordedClock(1_767_323_045_678_901_234)


def chained(*lines: str) -> bytes:
    """The lines with `PREV` replaced by the digest of the line before."""
    content, prev = b"", "null"
    for line in lines:
        encoded = line.replace("TIME", TIME).replace("PREV", prev).encode() + b"\n"
        prev = f'"sha256:{hashlib.sha256(encoded).hexdigest()}"'
        content += encoded
    return content


def test_the_bytes_of_a_journal(tmp_path: Path) -> None:
    with Journal(tmp_path, CLOCK) as journal:
        journal.append("run_initialized", {"note": 'é"\n', "none": None, "size": 1.5})
        journal.append_many([("order_event", b'{"type":"OrderFilled"}'), ("paper_heartbeat", {"bars": 1})])
        journal.append_exclusively(lambda: ("run_completed", {}))
    (tmp_path / "journal.jsonl").open("ab").write(b'{"seq":5')
    with Journal(tmp_path, CLOCK) as journal:
        journal.append("reconciliation_checked", {"state": "ok"})
    written = (
        '{"seq":1,"time":"TIME","event":"run_initialized","payload":{"note":"é\\"\\n","none":null,"size":1.5},"prev":PREV}',
        '{"seq":2,"time":"TIME","event":"order_event","payload":{"type":"OrderFilled"},"prev":PREV}',
        '{"seq":3,"time":"TIME","event":"paper_heartbeat","payload":{"bars":1},"prev":PREV}',
        '{"seq":4,"time":"TIME","event":"run_completed","payload":{},"prev":PREV}',
    )
    size, digest = len(chained(*written)), hashlib.sha256(b'{"seq":5').hexdigest()
    kept = f'{{"file":"journal-torn-at-{size}.bin","offset":{size},"size_bytes":8,"digest":"sha256:{digest}"}}'
    assert (tmp_path / "journal.jsonl").read_bytes() == chained(
        *written,
        f'{{"seq":5,"time":"TIME","event":"journal_torn_end_kept","payload":{kept},"prev":PREV}}',
        '{"seq":6,"time":"TIME","event":"reconciliation_checked","payload":{"state":"ok"},"prev":PREV}',
    )
    assert (tmp_path / f"journal-torn-at-{size}.bin").read_bytes() == b'{"seq":5'


def test_the_bytes_of_a_ledger(tmp_path: Path) -> None:
    transactions: list[list[dict[str, object]]] = [
        [{"kind": "filled", "price": "42000.10", "maker": True, "note": "é"}, {"kind": "x"}],
        [{"n": 2**60}],
    ]
    for events in transactions:
        with LedgerFile(tmp_path, CLOCK) as ledger:
            list(ledger.history())
            ledger.append(events, Moment(7, 3))
    (tmp_path / "ledger.jsonl").open("ab").write(b"half")
    with LedgerFile(tmp_path, CLOCK) as ledger:
        list(ledger.history())
        ledger.append([], Moment(8, 0))
    content = chained(
        '{"seq":1,"time":"TIME","minute":7,"tick":3,"events":[{"kind":"filled","price":"42000.10","maker":true,'
        '"note":"é"},{"kind":"x"}],"prev":PREV}',
        '{"seq":2,"time":"TIME","minute":7,"tick":3,"events":[{"n":1152921504606846976}],"prev":PREV}',
        '{"seq":3,"time":"TIME","minute":8,"tick":0,"events":[],"prev":PREV}',
    )
    assert (tmp_path / "ledger.jsonl").read_bytes() == content
    size = content.rindex(b'{"seq":3')
    assert (tmp_path / f"ledger-torn-at-{size}.bin").read_bytes() == b"half"


def test_the_messages_of_a_broken_line(tmp_path: Path) -> None:
    folder = tmp_path / "r1"
    folder.mkdir()
    for name, read, title in (
        ("journal.jsonl", read_events, "run r1"),
        ("ledger.jsonl", read_ledger, "ledger of r1"),
    ):
        (folder / name).write_bytes(b"{}\n")
        with pytest.raises(Corrupt) as error:
            list(read(folder))
        assert error.value.message.startswith(f"{title}: {name}, line 1 (byte 0) is not a")
        assert error.value.details() == {"file": name, "line": 1, "byte": 0}


def test_events_after_an_offset_and_the_torn_end(tmp_path: Path) -> None:
    with Journal(tmp_path, CLOCK) as journal:
        for name in ("run_initialized", "run_completed", "reconciliation_checked"):
            journal.append(name, {})
    path = tmp_path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.open("ab").write(b'{"seq"')
    tail = events_after(tmp_path, len(lines[0]) + len(lines[1]))
    assert [event.event for event in tail.events] == ["reconciliation_checked"]
    assert (tail.torn, tail.next_seq) == (b'{"seq"', 4)
    assert tail.next_prev == "sha256:" + hashlib.sha256(lines[2]).hexdigest()
    with pytest.raises(Corrupt):
        events_after(tmp_path, len(lines[0]) - 1)


@pytest.mark.parametrize("line", [b"\n", b"nonsense\n"])
def test_no_line_is_appended_after_a_last_line_that_is_no_event(tmp_path: Path, line: bytes) -> None:
    with Journal(tmp_path, CLOCK) as journal:
        journal.append("run_initialized", {})
    path = tmp_path / "journal.jsonl"
    content = path.read_bytes() + line
    path.write_bytes(content)
    with pytest.raises(Corrupt):
        last_event(tmp_path)
    with Journal(tmp_path, CLOCK) as journal, pytest.raises(Corrupt):
        journal.append("run_completed", {})
    assert path.read_bytes() == content
