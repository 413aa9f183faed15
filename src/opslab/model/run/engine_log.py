"""The log of the engine and of its strategy, counted: the section `log` of a run's metadata."""

from pydantic import Field

from opslab.model.messages.engine_messages import LogLevelName
from opslab.model.primitives.record import Record


class LogKind(Record):
    """Lines of one level and source, that differ only in order ids, prices and quantities."""

    level: str
    """`ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`."""
    component: str
    """Source: a part of the engine, or the id of the strategy."""
    message: str | None
    """With `#` for order ids, prices and quantities; `null` below `WARN`, where a kind is all lines of one source."""
    count: int
    file: str
    """File of the first line, in `logs/`."""
    first: str
    """Time of the first line; in a backtest the market's."""
    last: str
    """Time of the last line."""


class LogFacts(Record):
    """Counts of the whole log, of which `logs/` has the first and last 4 MiB for each engine."""

    level: LogLevelName
    """`observability.log` of the spec: the lowest level in `logs/`. Warnings and errors are always counted."""
    lines: dict[str, int]
    """Level to number of lines, the most severe level first."""
    kinds: tuple[LogKind, ...]
    """The first 20 kinds of each level, the most severe level first, then the most frequent one."""
    orders_skipped: dict[str, int] = Field(default_factory=dict)
    """Reason to number of orders of which the engine's matching engine skipped a fill."""
    first_order_skipped: str | None = None
    """Its client order id."""
    omitted_bytes: int | None = 0
    """Dropped between the stored beginning and the stored end; `null`: the end is lost, because `tc` died."""
