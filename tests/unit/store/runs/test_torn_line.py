"""The torn end of a check: every beginning of a journal line is accepted, foreign text is not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.model.checks.check_kind import CHECK_EVENTS, PROBE
from opslab.store.runs.journal import Journal
from opslab.store.runs.torn_line import could_begin
from opslab.system import SystemClock

SEQ, PREV = 12, "sha256:" + "0f" * 32
PAYLOAD: dict[str, Any] = {
    "state": 'größer\n\t\x01\x7f"\\/ \u2028😀',
    "of": [1, -2, 2.5, -3e-9, 1e30, 0.1234567890123456, 10**20, {"a": None, "b": True, "c": False}, [], {}, [[""]]],
    "not": [float("nan"), float("inf"), -float("inf")],
    "": {"{": "]", "like": ',"prev":"', "[\\": '","payload":{'},
    "digest": "sha256:" + "ab" * 32,
}


def line_of(tmp_path: Path, payload: dict[str, Any], name: str = PROBE.event) -> bytes:
    """As the journal writes it, in place of its 12th line."""
    with Journal(tmp_path, SystemClock()) as journal:
        journal.append(name, payload)
    line = (tmp_path / "journal.jsonl").read_bytes()
    (tmp_path / "journal.jsonl").unlink()
    return line.replace(b'{"seq":1,', b'{"seq":%d,' % SEQ, 1).replace(b'"prev":null}', b'"prev":"%s"}' % PREV.encode())


def could(torn: bytes) -> bool:
    return could_begin(torn, CHECK_EVENTS, SEQ, PREV)


@pytest.mark.parametrize("name", CHECK_EVENTS)
@pytest.mark.parametrize("payload", [PAYLOAD, {}, {"a": {}}, {"a": "b"}], ids=["much", "nothing", "empty", "little"])
def test_every_beginning_of_a_line_is_one(tmp_path: Path, name: str, payload: dict[str, Any]) -> None:
    line = line_of(tmp_path, payload, name)
    assert json.loads(line)["seq"] == SEQ
    assert [at for at in range(1, len(line)) if not could(line[:at])] == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100)
@given(payload=st.dictionaries(st.text(), VALUES, max_size=4))
def test_whatever_the_payload_says(tmp_path_factory: pytest.TempPathFactory, payload: dict[str, Any]) -> None:
    line = line_of(tmp_path_factory.mktemp("line"), payload)
    assert [at for at in range(1, len(line)) if not could(line[:at])] == []


@pytest.mark.parametrize("marker", [b"-", b'","payload"', b':{"a"', b',"artifact"', b'"n":'])
@pytest.mark.parametrize("byte", [b"\x00", b"\n", b" ", b"\xff", b"x\x00", b"\xc3"])
def test_a_beginning_with_an_impossible_continuation_is_none(tmp_path: Path, marker: bytes, byte: bytes) -> None:
    """In the time, behind the name of the event, between the parts of the payload."""
    line = line_of(tmp_path, {"state": "probe_ok", "of": {"a": 1}, "artifact": "connectivity_probe-1.json", "n": 0})
    begun = line[: line.index(marker)]
    assert could(begun)
    assert not could(begun + byte)


def changed(line: bytes, old: bytes, new: bytes) -> bytes:
    assert line.count(old) == 1
    return line.replace(old, new)


WRONG = {
    "nothing of it": b"x",
    "a space": b" ",
    "a carriage return": b"\r",
    "zeros": b"\x00" * 4096,
    "a note": b"checked by hand, all is well",
    "another object": b'{"note":"x"',
    "an array": b"[",
    "seven brackets": b"{{{{{{{",
    "deep": b'{"seq":12,"time":"2024-01-01T00:00:00.000000Z","event":"%s","payload":' % PROBE.event.encode()
    + b'{"a":' * 100_000,
    "half a character": b"\xc3",
}


@pytest.mark.parametrize("torn", WRONG.values(), ids=WRONG.keys())
def test_foreign_text_is_not_a_beginning(torn: bytes) -> None:
    assert not could(torn)


EDITS = {
    "the number before": (b'"seq":12', b'"seq":11'),
    "the number behind": (b'"seq":12', b'"seq":13'),
    "a number that begins so": (b'"seq":12', b'"seq":120'),
    "another event": (b"connectivity_probe_evaluated", b"order_event"),
    "the end of the run": (b"connectivity_probe_evaluated", b"run_completed"),
    "a space behind a colon": (b'"event":', b'"event": '),
    "a space in the payload": (b',"of"', b', "of"'),
    "no time": (b'"time":"2', b'"time":"x'),
    "another order of keys": (b'"time":', b'"event":'),
    "no payload": (b'{"state":"probe_ok","of":{"a":1}}', b"null"),
    "a list as payload": (b'{"state":"probe_ok","of":{"a":1}}', b"[1]"),
    "brackets that do not match": (b'{"a":1}', b'{"a":1]'),
    "two values in a row": (b'{"a":1}', b'{"a":1 2}'),
    "no value": (b'{"a":1}', b'{"a":}'),
    "a control character": (b"probe_ok", b"probe\x00ok"),
    "no UTF-8": (b"probe_ok", b"probe\xffok"),
    "half a character": (b"probe_ok", b"probe\xc3"),
    "more keys": (b',"prev":"', b',"more":1,"prev":"'),
    "another line before": (PREV.encode(), b"sha256:" + b"1" * 64),
    "one digit of it": (PREV.encode(), PREV[:-1].encode() + b"e"),
    "no line before": (b'"%s"' % PREV.encode(), b"null"),
}


@pytest.mark.parametrize(("old", "new"), EDITS.values(), ids=EDITS.keys())
def test_a_line_of_another_journal_or_author_is_not_a_beginning(tmp_path: Path, old: bytes, new: bytes) -> None:
    line = line_of(tmp_path, {"state": "probe_ok", "of": {"a": 1}})[:-1]
    assert could(line)
    assert not could(changed(line, old, new))
    assert not could(line + b"}")
    assert not could(line + b" ")
