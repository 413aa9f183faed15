"""A second reader of journals, written apart from the lab's own: it knows the documented format and nothing else."""

import hashlib
import json
from pathlib import Path
from typing import Any

JOURNAL = "journal.jsonl"
ENDINGS = ("run_completed", "run_failed", "run_interrupted", "run_halted")


def journal_bytes(folder: Path) -> bytes:
    """The journal as it is; empty when there is none."""
    try:
        return (folder / JOURNAL).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def whole_lines(data: bytes) -> list[bytes]:
    """Every line that ended, with its newline."""
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


def chain_faults(data: bytes) -> list[str]:
    """What is wrong with a journal: its first broken link, a torn end."""
    prev = None
    for seq, line in enumerate(whole_lines(data), 1):
        try:
            event = json.loads(line)
            found = (event["seq"], event["prev"])
        except (ValueError, TypeError, KeyError) as error:
            return [f"journal line {seq} is no event: {error!r}"]
        if found != (seq, prev):
            return [f"journal line {seq} says seq {found[0]} after {found[1]}, and not {seq} after {prev}"]
        prev = "sha256:" + hashlib.sha256(line).hexdigest()
    return [] if data.endswith(b"\n") else [f"the journal ends in the middle of a line, or is empty: {data[-80:]!r}"]


def lifecycle(data: bytes) -> list[dict[str, Any]]:
    """All events but those of orders."""
    lines = [line for line in whole_lines(data) if b'"event":"order_event"' not in line[:128]]
    return [json.loads(line) for line in lines]


def chained(events: list[dict[str, Any]]) -> bytes:
    """A journal of these events, numbered and linked anew."""
    prev, data = None, b""
    for seq, event in enumerate(events, 1):
        known = {"seq": seq, "time": event["time"], "event": event["event"], "payload": event["payload"], "prev": prev}
        line = json.dumps(known, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        prev = "sha256:" + hashlib.sha256(line).hexdigest()
        data += line
    return data
