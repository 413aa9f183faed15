"""A family of series, and one value of it. A feature declares its families; the reference page is made from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso

Kind = Literal["gauge", "counter", "histogram", "info"]

_SUFFIXES = {"counter": "_total", "info": "_info"}


class Buckets(NamedTuple):
    """The value of a histogram."""

    bounds: Sequence[float]
    """Upper bounds of all buckets but the last, ascending."""
    counts: Sequence[int]
    """Number of observations in each bucket, not cumulative; one more than there are bounds."""
    sum: float


@dataclass(frozen=True, slots=True)
class Family:
    """Series of one name."""

    name: str
    """With its suffix, as it is queried; of a histogram without one."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    live: bool = False
    """Whether it has series only of runs that are running."""

    def __post_init__(self) -> None:
        suffix = _SUFFIXES.get(self.kind, "")
        assert self.name.startswith("opslab_"), self.name
        assert self.name.endswith(suffix), self.name
        assert self.kind == "counter" or not self.name.endswith("_total"), self.name

    @property
    def base(self) -> str:
        """The name without its suffix."""
        return self.name.removesuffix(_SUFFIXES.get(self.kind, ""))

    def sample(self, value: float | Buckets, *labels: str) -> "Sample":
        """labels: their values, in the order of `labels`."""
        assert len(labels) == len(self.labels), self.name
        return Sample(self, labels, value)

    def at(self, time: str | None, *labels: str) -> "Iterator[Sample]":
        """The sample of a UTC time of a record, in seconds since 1970; none for None, or for a text that is no time."""
        if time is None:
            return
        try:
            ts_ns = parse_iso(time)
        except (ValueError, OverflowError):
            return
        yield self.sample(ts_ns / NS_PER_SECOND, *labels)

    def states(self, known: Sequence[str], current: str | None, *labels: str) -> "Iterator[Sample]":
        """One sample for each known state, 1 for the current one. The state is the last label."""
        for state in known:
            yield self.sample(float(state == current), *labels, state)


class Sample(NamedTuple):
    family: Family
    labels: tuple[str, ...]
    value: float | Buckets
