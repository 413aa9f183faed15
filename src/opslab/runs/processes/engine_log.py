"""Counts the lines of NautilusTrader's log while they arrive: also those that are not stored."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from opslab.model.messages.engine_messages import LogLevelName
from opslab.model.run.engine_log import LogFacts, LogKind
from opslab.model.run.refused_orders import Refusals, without_values
from opslab.store.logs import engine_logs, read_log

MAX_KINDS = 20
"""Number of kinds of a level that are counted apart; lines of further ones are counted by level only."""
MAX_ORDERS = 100_000
"""Number of orders with a skipped fill that are remembered, to count each once."""
_MAX_MESSAGE = 300
"""Characters of a message without its values: they have different lengths."""
_MAX_READ = 1_200
"""Characters of a message with its values."""
_MAX_LINE_BYTES = 64 << 10
_LEVELS = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
_BY_MESSAGE = frozenset({"ERROR", "WARN"})
_NOT_STORED: dict[LogLevelName, frozenset[str]] = {"off": frozenset(_LEVELS), "error": frozenset(_LEVELS[1:])}
"""For the other levels the engine writes no line that is not stored."""
_LINE = re.compile(rb"(\d{4}-\S+Z) \[(ERROR|WARN|INFO|DEBUG|TRACE)\] [^\s.]+\.(\S+): (.*)")
"""Time, level, trader and component, message: the format of NautilusTrader's standard output."""
_MATCHING_ENGINE = "nautilus_execution::matching_engine"
_SKIPPED = re.compile(r"Skipping fill for ([^\s:]+): (.*)")
"""The matching engine reports a fill at a price off the tick in no other way."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_KindKey = tuple[str, str, str | None]
"""Level, component, and for warnings and errors the message without its values."""


@dataclass(slots=True)
class _Kind:
    example: str
    """Message of the first line."""
    count: int
    file: str
    first: str
    last: str


@dataclass(slots=True)
class EngineLogCounter:
    """Call `write` with all output of one engine and then `end`; `add` joins the engines of a run."""

    level: LogLevelName
    file: str = ""
    """Name of the stored file."""
    omitted_bytes: int | None = 0
    _lines: Counter[str] = field(default_factory=Counter)
    _kinds: dict[_KindKey, _Kind] = field(default_factory=dict)
    _kinds_of: Counter[str] = field(default_factory=Counter)
    """Level to number of its kinds."""
    skipped_orders: set[str] = field(default_factory=set)
    """Client order ids, at most `MAX_ORDERS`."""
    _skipped: Refusals = field(default_factory=Refusals)
    _incomplete: bytes = b""
    """The beginning of the line that is not complete yet."""

    def write(self, data: bytes) -> bytes:
        """Count the lines. Returns the bytes to store."""
        *lines, incomplete = (self._incomplete + data).split(b"\n")
        self._incomplete = incomplete[:_MAX_LINE_BYTES]
        not_stored = _NOT_STORED.get(self.level)
        if not_stored is None:
            for line in lines:
                self._count(line)
            return data
        self.add_omitted(len(incomplete) - len(self._incomplete))
        return b"".join(line + b"\n" for line in lines if self._count(line) not in not_stored)

    def end(self) -> bytes:
        """Count the last line, which has no end. Returns the bytes of it to store."""
        line, self._incomplete = self._incomplete, b""
        level = self._count(line)
        not_stored = _NOT_STORED.get(self.level)
        return b"" if not_stored is None or level in not_stored else line

    def _count(self, line: bytes) -> str | None:
        """Returns its level; None for a line of something else, such as `print`."""
        match = _LINE.match(line)
        if match is None:
            return None
        time, level, component, message = (part.decode(errors="replace") for part in match.groups())
        self._lines[level] += 1
        shown = message[:_MAX_READ]
        key = (level, component, without_values(shown)[:_MAX_MESSAGE] if level in _BY_MESSAGE else None)
        self._add_kind(key, _Kind(shown, 1, self.file, time, time))
        if component == _MATCHING_ENGINE and (skipped := _SKIPPED.match(message)):
            self._skip(skipped[1], without_values(skipped[2]))
        return level

    def _skip(self, client_order_id: str, reason: str) -> None:
        """The engine may skip the same order again at a later bar."""
        if client_order_id in self.skipped_orders:
            return
        self._skipped.add(client_order_id, reason)
        if len(self.skipped_orders) < MAX_ORDERS:
            self.skipped_orders.add(client_order_id)

    def _add_kind(self, key: _KindKey, later: _Kind) -> None:
        kind = self._kinds.get(key)
        if kind is not None:
            kind.count += later.count
            kind.last = later.last
        elif self._kinds_of[key[0]] < MAX_KINDS:
            self._kinds[key] = replace(later)
            self._kinds_of[key[0]] += 1

    def add(self, later: "EngineLogCounter") -> None:
        """Add the counts of a later engine of a paper run, where the venue fills the orders and no fill is skipped."""
        self._lines.update(later._lines)
        for key, kind in later._kinds.items():
            self._add_kind(key, kind)
        self.add_omitted(later.omitted_bytes)

    def add_omitted(self, omitted_bytes: int | None) -> None:
        """None: not known."""
        if self.omitted_bytes is None or omitted_bytes is None:
            self.omitted_bytes = None
        else:
            self.omitted_bytes += omitted_bytes

    def facts(self, redact: Callable[[str], str]) -> LogFacts:
        ordered = sorted(self._kinds.items(), key=lambda item: (_LEVELS.index(item[0][0]), -item[1].count, item[0][1:]))
        return LogFacts(
            level=self.level,
            lines={level: self._lines[level] for level in _LEVELS if self._lines[level]},
            kinds=tuple(
                LogKind(
                    level=level,
                    component=component,
                    message=None if message is None else _shown(kind.example, redact),
                    count=kind.count,
                    file=f"logs/{kind.file}",
                    first=kind.first,
                    last=kind.last,
                )
                for (level, component, message), kind in ordered
            ),
            orders_skipped=self._skipped.reasons,
            first_order_skipped=self._skipped.first,
            omitted_bytes=self.omitted_bytes,
        )


def _shown(message: str, redact: Callable[[str], str]) -> str:
    return without_values(redact(_UNPRINTABLE.sub(" ", message)))[:_MAX_MESSAGE]


def count_stored(logs: Path, level: LogLevelName, redact: Callable[[str], str]) -> LogFacts:
    """The counts of a run whose control died: of the stored logs only. logs: the run's folder of logs."""
    total = EngineLogCounter(level)
    for path in engine_logs(logs):
        data, omitted_bytes = read_log(path)
        counter = EngineLogCounter(level, path.name)
        counter.write(data)
        counter.end()
        counter.add_omitted(omitted_bytes)
        total.add(counter)
    return total.facts(redact)
