"""A run's venue from beside it: what its ledger says at this moment."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from opslab.model.messages.ledger_events import LedgerEvent, event_of
from tests.oracles.ledger_state import LedgerState, ledger_state


def standing_now(folder: Path) -> LedgerState:
    """Of the ledger in a folder, as far as it is written; nothing when there is none."""
    return ledger_state(_events(folder / "ledger.jsonl"))


def open_now(folder: Path) -> tuple[bool, bool]:
    """Whether there is a position, and an open order."""
    stands = standing_now(folder)
    return bool(stands.position), bool(stands.open)


def transaction_times(folder: Path) -> list[str]:
    """When each line was written."""
    return [json.loads(line)["time"] for line in _lines(folder / "ledger.jsonl")]


def _events(path: Path) -> Iterator[LedgerEvent]:
    for line in _lines(path):
        yield from map(event_of, json.loads(line)["events"])


def _lines(path: Path) -> list[bytes]:
    with suppress(FileNotFoundError, NotADirectoryError):
        data = path.read_bytes()
        return data[: data.rfind(b"\n") + 1].splitlines()
    return []
