"""A second reader of journals, independent of the lab's own: it uses only the documented format."""

import hashlib
import json
from pathlib import Path
from typing import Any

JOURNAL = "journal.jsonl"
ENDINGS = ("run_completed", "run_failed", "run_interrupted", "run_halted")


def journal_bytes(folder: Path) -> bytes:
    """Content of the journal; empty without one."""
    try:
        return (folder / JOURNAL).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def whole_lines(data: bytes) -> list[bytes]:
    """Every complete line, with its newline."""
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


def chain_faults(data: bytes) -> list[str]:
    """Faults of a journal: its first broken link, a torn end."""
    prev = None
    for seq, line in enumerate(whole_lines(data), 1):
        try:
            event = json.loads(line)
            values = (event["seq"], event["prev"])
        except (ValueError, TypeError, KeyError) as error:
            return [f"journal line {seq} is not an event: {error!r}"]
        if values != (seq, prev):
            return [f"journal line {seq} has seq {values[0]} after {values[1]}, expected {seq} after {prev}"]
        prev = "sha256:" + hashlib.sha256(line).hexdigest()
    return [] if data.endswith(b"\n") else [f"the journal ends in the middle of a line, or is empty: {data[-80:]!r}"]


def lifecycle(data: bytes) -> list[dict[str, Any]]:
    """All events except order events."""
    lines = [line for line in whole_lines(data) if b'"event":"order_event"' not in line[:128]]
    return [json.loads(line) for line in lines]


def chained(events: list[dict[str, Any]]) -> bytes:
    """A journal of these events, renumbered and relinked."""
    prev, data = None, b""
    for seq, event in enumerate(events, 1):
        line_fields = {
            "seq": seq,
            "time": event["time"],
            "event": event["event"],
            "payload": event["payload"],
            "prev": prev,
        }
        line = json.dumps(line_fields, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        prev = "sha256:" + hashlib.sha256(line).hexdigest()
        data += line
    return data
