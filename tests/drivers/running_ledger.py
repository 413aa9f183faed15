"""The current state of a running venue's ledger."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from opslab.model.messages.ledger_events import LedgerEvent, parse_event
from tests.oracles.ledger_state import LedgerState, ledger_state


def current_state(folder: Path) -> LedgerState:
    """The state after the last complete line; the empty state when there is no ledger."""
    return ledger_state(_events(folder / "ledger.jsonl"))


def has_position_and_orders(folder: Path) -> tuple[bool, bool]:
    """(whether there is a position, whether there is an open order)."""
    state = current_state(folder)
    return bool(state.position), bool(state.open)


def transaction_times(folder: Path) -> list[str]:
    """The time of each line."""
    return [json.loads(line)["time"] for line in _lines(folder / "ledger.jsonl")]


def _events(path: Path) -> Iterator[LedgerEvent]:
    for line in _lines(path):
        yield from map(parse_event, json.loads(line)["events"])


def _lines(path: Path) -> list[bytes]:
    with suppress(FileNotFoundError, NotADirectoryError):
        data = path.read_bytes()
        return data[: data.rfind(b"\n") + 1].splitlines()
    return []
