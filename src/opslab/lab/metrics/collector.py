"""The collector over the registry. Its work grows with what changed since the last collection, not with the runs.

Shown in full are all runs that run, all that need an acknowledgement, and the newest of the others.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import opslab
from opslab.drills.metrics import drill_samples
from opslab.drills.registry import DRILLS
from opslab.errors import Environment, LabError
from opslab.killswitch.metrics import samples as switch_samples
from opslab.killswitch.switch import list_switches
from opslab.lab.metrics import families
from opslab.lab.metrics.families import FAMILIES
from opslab.lab.metrics.run_series import run_series
from opslab.metrics.exposition import Exposition, Format
from opslab.metrics.family import Sample
from opslab.model.primitives.instant import NS_PER_SECOND
from opslab.model.run.metadata import RunMetadata
from opslab.runs.record.metrics.home import home_samples
from opslab.runs.record.metrics.run import unreadable_samples
from opslab.runs.record.metrics.run_ends import RunEnds
from opslab.runs.record.registry import Registry, read_run
from opslab.runs.record.selection import Row
from opslab.store.disk import disk_space
from opslab.store.run_ends import read_run_ends, write_run_ends

if TYPE_CHECKING:
    from opslab.context import Context

DEFAULT_NEWEST = 50

_EXPORTER, _HOME, _DRILLS, _SWITCHES = "exporter", "home", "drills", "switches"
_RUN = "run/"
"""Prefix of the sources that are runs."""
_REASONS = ("registry", "run", "state", "collection")


@dataclass(frozen=True, slots=True)
class Shown:
    """Which runs have series of their own."""

    newest: int = DEFAULT_NEWEST
    """How many of those that neither run nor need an acknowledgement."""
    run_ids: frozenset[str] = frozenset()
    """Only these runs; empty: all that the rules choose."""


class Collector:
    """The source of the metrics server. `collect` is called by one thread at a time."""

    def __init__(self, context: "Context", shown: Shown) -> None:
        self._context = context
        self._shown = shown
        self._registry = Registry(context)
        self._ends = RunEnds(read_run_ends(context.layout))
        self._stored_ends = read_run_ends(context.layout)
        self._exposition = Exposition(FAMILIES)
        self._chosen: dict[str, Row] | None = None
        """Rows of the runs to show; None: to be chosen anew."""
        self._rows: dict[str, Row] = {}
        """Of the shown runs, as they were written into the exposition."""
        self._running: dict[str, RunMetadata] = {}
        self._errors: Counter[str] = Counter()
        self._collections = 0
        self._runs_read = 0
        self._problem: str | None = None

    def collect(self, form: Format) -> bytes:
        """Bring the series up to date; returns their text. An error is counted, and leaves no series of a run."""
        began_s = self._context.clock.monotonic_s()
        self._problem = None
        try:
            self._collect()
        except Environment as error:
            self._failed("registry", error.message)
        except Exception as error:  # noqa: BLE001  (a bug in one collection must not end the exporter)
            self._failed("collection", f"the collection broke off: {type(error).__name__}")
            self._registry = Registry(self._context)
        self._collections += 1
        self._exposition.put(_EXPORTER, self._exporter_samples(self._context.clock.monotonic_s() - began_s))
        return self._exposition.text(form)

    def text_before_first(self, form: Format) -> bytes:
        before = Exposition(families.EXPORTER)
        before.put(
            _EXPORTER,
            (families.EXPORTER_INFO.sample(1, opslab.__version__), families.READY.sample(0), *self._error_samples()),
        )
        return before.text(form)

    def problem(self) -> str | None:
        return self._problem

    def _collect(self) -> None:
        layout = self._context.layout
        if not layout.home.is_dir():
            raise Environment(f"the home {layout.home} does not exist")
        registry = self._registry
        registry.read()
        self._runs_read += len(registry.reread)
        if registry.changes or self._chosen is None:
            self._choose(registry.rows.values())
        assert self._chosen is not None
        for run_id, row in self._chosen.items():
            self._update(run_id, row)
        self._exposition.put(_SWITCHES, switch_samples(list_switches(layout)))

    def _choose(self, rows: Collection[Row]) -> None:
        """After a change of a row: count ends, and choose the runs to show."""
        self._count_ends()
        self._chosen = {row.run_id: row for row in chosen_rows(rows, self._shown)}
        for run_id in self._rows.keys() - self._chosen.keys():
            self._forget(run_id)
        self._exposition.put(_HOME, home_samples(rows, self._ends.counts, len(rows) - len(self._chosen)))
        self._exposition.put(_DRILLS, drill_samples(rows, tuple(DRILLS)))

    def _count_ends(self) -> None:
        to_store = self._ends.count(self._registry.changes)
        if to_store != self._stored_ends:
            if not write_run_ends(self._context.layout, to_store):
                self._errors["state"] += 1
            self._stored_ends = to_store

    def _update(self, run_id: str, row: Row) -> None:
        """Write the series of a run that runs, or that has changed."""
        reread = self._registry.reread
        if row.status != "running" and run_id not in reread and self._rows.get(run_id) == row:
            return
        self._rows[run_id] = row
        run = None if row.error is not None else self._metadata(run_id, row)
        if run is None:
            self._running.pop(run_id, None)
            self._exposition.put(_RUN + run_id, unreadable_samples(run_id))
            return
        if row.status == "running":
            self._running[run_id] = run
        else:
            self._running.pop(run_id, None)
        try:
            self._exposition.put(_RUN + run_id, run_series(self._context, run))
        except Exception:  # noqa: BLE001  (whatever one run's records have, the others are shown)
            self._errors["run"] += 1
            self._exposition.put(_RUN + run_id, unreadable_samples(run_id))

    def _metadata(self, run_id: str, row: Row) -> RunMetadata | None:
        """As seen by the row; None when the run cannot be read."""
        run = self._registry.reread.get(run_id) or self._running.get(run_id)
        if run is None:
            try:
                run = read_run(self._context.layout.runs / run_id, self._context.processes).metadata
            except LabError:
                self._errors["run"] += 1
                return None
        return run.with_changes(status=row.status, ended_by=row.ended_by)

    def _forget(self, run_id: str) -> None:
        self._exposition.drop(_RUN + run_id)
        self._rows.pop(run_id, None)
        self._running.pop(run_id, None)

    def _failed(self, reason: str, problem: str) -> None:
        """What cannot be read has no series: an old value would look like the present one."""
        self._errors[reason] += 1
        self._problem = problem
        for source in self._exposition.sources():
            self._exposition.drop(source)
        self._chosen = None
        self._rows.clear()
        self._running.clear()

    def _exporter_samples(self, seconds: float) -> Iterator[Sample]:
        yield families.EXPORTER_INFO.sample(1, opslab.__version__)
        yield families.READY.sample(self._problem is None)
        yield families.COLLECTIONS.sample(self._collections)
        yield families.COLLECTION_SECONDS.sample(round(seconds, 6))
        yield families.COLLECTED_AT.sample(self._context.clock.now_ns() / NS_PER_SECOND)
        yield from self._error_samples()
        yield families.RUNS_READ.sample(self._runs_read)
        try:
            space = disk_space(self._context.layout.home)
        except OSError:
            return
        yield families.FREE.sample(space.free_bytes)
        yield families.SIZE.sample(space.size_bytes)

    def _error_samples(self) -> list[Sample]:
        return [families.ERRORS.sample(self._errors[reason], reason) for reason in _REASONS]


def chosen_rows(rows: Iterable[Row], shown: Shown) -> list[Row]:
    """The rows of the runs that have series of their own."""
    if shown.run_ids:
        return [row for row in rows if row.run_id in shown.run_ids]
    chosen: list[Row] = []
    others: list[Row] = []
    for row in rows:
        always = row.status == "running" or row.error is not None or row.attention is not None
        (chosen if always else others).append(row)
    newest = heapq.nlargest(shown.newest, others, key=lambda row: (row.initialized_at or "", row.run_id))
    return [*chosen, *newest]
