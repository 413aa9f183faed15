"""Select, sort and page the rows of the run list: pure functions."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from opslab.errors import Usage
from opslab.model.primitives.canonical import DIGEST_PREFIX
from opslab.model.primitives.ids import nearest, shown
from opslab.model.primitives.instant import NS_PER_SECOND, iso

STATUSES = ("initialized", "running", "completed", "failed", "safety_blocked", "halted", "interrupted")
"""As `model.run.metadata.Status`, which needs pydantic to load."""
MODES = ("backtest", "paper")
OWNER_GONE = "owner_gone"
_NEED_ACKNOWLEDGEMENT = frozenset({"failed", "interrupted", "halted"})
_NOT_ENDED = frozenset({"initialized", "running"})

_AGE_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_AGE = re.compile(r"(\d{1,9})([mhd])", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z?)?", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{4,64}", re.ASCII)


class Row(NamedTuple):
    """One row of the run list. An unreadable run has only its name and `error`.

    A tuple, because ten thousand are made at once.
    """

    run_id: str
    mode: str | None = None
    status: str | None = None
    strategy: str | None = None
    """Its title."""
    dataset: str | None = None
    initialized_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    ended_by: str | None = None
    recovered_at: str | None = None
    acknowledged_at: str | None = None
    reconciliation: str | None = None
    """State of the last one."""
    reproduces: str | None = None
    drill: str | None = None
    """Name of the drill whose fault it had; the five below are of its record."""
    drill_verdict: str | None = None
    """`None` beside a name: its summary cannot be read."""
    drill_started_at: str | None = None
    drill_ended_at: str | None = None
    drill_detect_seconds: float | None = None
    drill_recover_seconds: float | None = None
    input_digest: str | None = None
    result_digest: str | None = None
    bars_seen: int | None = None
    error: str | None = None
    error_brief: str | None = None
    """`error` without the name of the run."""

    @property
    def duration_seconds(self) -> float | None:
        """From start to end; None when either is unknown."""
        if self.started_at is None or self.ended_at is None:
            return None
        try:
            return (datetime.fromisoformat(self.ended_at) - datetime.fromisoformat(self.started_at)).total_seconds()
        except (ValueError, TypeError):  # not a time written by this lab
            return None

    @property
    def unsettled(self) -> bool:
        """Its owner died and it was not recovered yet."""
        return self.ended_by == OWNER_GONE and self.recovered_at is None

    @property
    def attention(self) -> str | None:
        """`failed`, `interrupted`, `halted` or `mismatch`: the reason for which it has to be acknowledged."""
        if self.acknowledged_at is not None or self.status in _NOT_ENDED:
            return None
        if self.status in _NEED_ACKNOWLEDGEMENT:
            return self.status
        return "mismatch" if self.reconciliation == "mismatch" else None


SORT_KEYS: dict[str, Callable[[Row], str | float | None]] = {
    "initialized": lambda row: row.initialized_at,
    "run-id": lambda row: row.run_id,
    "status": lambda row: row.status,
    "mode": lambda row: row.mode,
    "dataset": lambda row: row.dataset,
    "bars": lambda row: row.bars_seen,
    "duration": lambda row: row.duration_seconds,
}


@dataclass(frozen=True, slots=True)
class Selection:
    """The requested selection; an empty or None filter matches everything."""

    statuses: frozenset[str] = frozenset()
    mode: str | None = None
    dataset: str | None = None
    since: str | None = None
    """UTC text like `initialized_at`; inclusive."""
    input_digest: str | None = None
    """A prefix, with `sha256:`."""
    unacknowledged: bool = False
    """Those with a reason for `attention` only."""
    sort: str = "initialized"
    reverse: bool = False
    offset: int = 0
    limit: int | None = None

    @property
    def has_filters(self) -> bool:
        return bool(self.statuses) or any((self.mode, self.dataset, self.since, self.input_digest, self.unacknowledged))


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the selected rows."""

    rows: Sequence[Row]
    total: int
    """Number of selected rows on all pages."""
    runs: int
    """Number of all runs."""
    unreadable: int
    """Number of unreadable runs among them."""
    unacknowledged: int
    """Number of runs among them that have to be acknowledged."""


def select(rows: Sequence[Row], selection: Selection) -> Page:
    """One page of the selected rows, in order. Unreadable rows match no filter and come last."""
    unreadable = sorted(row for row in rows if row.error is not None)
    matching = in_order((row for row in rows if row.error is None and matches(row, selection)), selection)
    if not selection.has_filters:
        matching += unreadable
    end = None if selection.limit is None else selection.offset + selection.limit
    unacknowledged = sum(row.attention is not None for row in rows)
    return Page(matching[selection.offset : end], len(matching), len(rows), len(unreadable), unacknowledged)


def matches(row: Row, selection: Selection) -> bool:
    return (
        (not selection.statuses or row.status in selection.statuses)
        and (selection.mode is None or row.mode == selection.mode)
        and (selection.dataset is None or row.dataset == selection.dataset)
        and (selection.since is None or (row.initialized_at is not None and row.initialized_at >= selection.since))
        and (selection.input_digest is None or (row.input_digest or "").startswith(selection.input_digest))
        and (not selection.unacknowledged or row.attention is not None)
    )


def in_order(rows: Iterable[Row], selection: Selection) -> list[Row]:
    """Sorted by the key, then by run id; rows without a value come last in both directions."""
    key = SORT_KEYS[selection.sort]
    keyed = [(key(row), row) for row in sorted(rows, key=lambda row: row.run_id)]
    known = [pair for pair in keyed if pair[0] is not None]
    known.sort(key=lambda pair: pair[0], reverse=selection.reverse)  # type: ignore[arg-type,return-value]
    return [row for _, row in known] + [row for value, row in keyed if value is None]


def one_of(option: str, text: str, known: Sequence[str]) -> str:
    """`text`, if it is a known value. Raises Usage with the known values and the nearest."""
    if text in known:
        return text
    close = nearest(text, known, 1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    raise Usage(f"{option} {shown(text)} is not known{guess}", hint=f"known: {', '.join(known)}")


def parse_since(text: str, now_ns: int) -> str:
    """An instant or an age as UTC text that compares with `initialized_at`. Raises Usage."""
    age = _AGE.fullmatch(text)
    if age:
        return iso(max(0, now_ns - int(age[1]) * _AGE_SECONDS[age[2]] * NS_PER_SECOND))
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(
            f"--since {shown(text)} is neither a UTC time nor an age",
            hint="such as 2026-01-31, 2026-01-31T10:00:00Z, 90m, 24h or 7d",
        ) from None
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_digest_prefix(text: str) -> str:
    """A digest prefix with `sha256:` in front. Raises Usage."""
    digits = text.lower().removeprefix(DIGEST_PREFIX)
    if not _HEX.fullmatch(digits):
        raise Usage(
            f"--input-digest {shown(text, 80)} is not the beginning of a digest",
            hint="4 to 64 hex digits, with or without sha256: in front",
        )
    return DIGEST_PREFIX + digits
