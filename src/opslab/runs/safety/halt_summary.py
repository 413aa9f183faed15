"""The facts of a halt, folded from the journal: by a living control while it appends, by recovery afterwards."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from opslab.model.journal.engine_events import EngineEnded, EngineLost, OrderGated, TradingHalted
from opslab.model.journal.journal_event import RecordedEvent, by_name
from opslab.model.journal.run_events import KillSwitchObserved
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.metadata import Safety
from opslab.runs.record.journal_events import decoded
from opslab.runs.safety.flat_times import FlatTimes, seconds_to
from opslab.store.runs.journal import read_events

SUMMARIZED = by_name(KillSwitchObserved, TradingHalted, OrderGated, EngineEnded, EngineLost)
"""Events that the fold needs."""


@dataclass(slots=True)
class HaltSummary:
    """A fold over the events of a journal."""

    switch: Safety | None = None
    """The switch as the run saw it."""
    seen_at: str = ""
    gate: TradingHalted | None = None
    gated: int = 0

    def apply(self, recorded: RecordedEvent) -> None:
        match recorded.event:
            case KillSwitchObserved(observed_by="watch") as observed:
                self.switch, self.seen_at = observed, recorded.time
            case TradingHalted() as halted:
                self.gate = halted
            case OrderGated():
                self.gated += 1
            case EngineEnded(gated=gated) | EngineLost(gated=gated):  # all of them; only the first are events
                self.gated = max(self.gated, gated.get("KILL_SWITCH", 0))

    def summary(self, times: FlatTimes | None, *, flat: bool | None) -> HaltFacts | None:
        """None when no halt was in progress. times, flat: a paper run's account, from its ledger."""
        if self.switch is None:
            return None
        gate = self.gate
        since = self.switch.activated_at or self.seen_at
        to_orders, to_flat = seconds_to(times, since) if times and flat else (None, None)
        return HaltFacts(
            scope=self.switch.scope,
            run_switch=gate.run_switch if gate else None,
            all_switch=gate.all_switch if gate else None,
            activated_at=self.switch.activated_at,
            seen_at=gate.seen_at if gate else self.seen_at,
            gate_closed_at=gate.gate_closed_at if gate else None,
            seconds_to_gate=gate.seconds_to_gate if gate else None,
            seconds_to_no_orders=to_orders,
            seconds_to_flat=to_flat,
            flat=flat,
            escalation=None,
            orders_gated=self.gated,
        )


def summarize_halt(events: Iterable[RecordedEvent]) -> HaltSummary:
    summary = HaltSummary()
    for event in events:
        summary.apply(event)
    return summary


def summarize_halt_in(folder: Path) -> HaltSummary:
    """Of a run's journal. Raises Corrupt."""
    return summarize_halt(decoded(folder, read_events(folder), SUMMARIZED))
