"""The facts of a halt, folded from the journal: by a living control while it appends, by recovery afterwards."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from opslab.model.run.event import Event
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.metadata import Safety
from opslab.runs.safety.flat_times import FlatTimes, seconds_to


@dataclass(slots=True)
class HaltSummary:
    """A fold over the events of a journal."""

    switch: Safety | None = None
    """The switch as the run saw it."""
    seen_at: str = ""
    gate: dict[str, Any] | None = None
    """Payload of `trading_halted`, if it was recorded."""
    gated: int = 0

    def apply(self, event: Event) -> None:
        if event.event == "kill_switch_observed" and event.payload["observed_by"] == "watch":
            self.switch, self.seen_at = Safety.model_validate(event.payload, strict=False), event.time
        elif event.event == "trading_halted":
            self.gate = event.payload
        elif event.event == "order_gated":
            self.gated += 1
        elif event.event in ("engine_ended", "engine_lost"):  # with all of them: only the first are recorded one by one
            self.gated = max(self.gated, event.payload.get("gated", {}).get("KILL_SWITCH", 0))

    def summary(self, times: FlatTimes | None, *, flat: bool | None) -> HaltFacts | None:
        """None when no halt was in progress. times, flat: a paper run's account, from its ledger."""
        if self.switch is None:
            return None
        gate = self.gate or {}
        since = self.switch.activated_at or self.seen_at
        to_orders, to_flat = seconds_to(times, since) if times and flat else (None, None)
        return HaltFacts(
            scope=self.switch.scope,
            run_switch=gate.get("run_switch"),
            all_switch=gate.get("all_switch"),
            activated_at=self.switch.activated_at,
            seen_at=gate.get("seen_at", self.seen_at),
            gate_closed_at=gate.get("gate_closed_at"),
            seconds_to_gate=gate.get("seconds_to_gate"),
            seconds_to_no_orders=to_orders,
            seconds_to_flat=to_flat,
            flat=flat,
            escalation=None,
            orders_gated=self.gated,
        )


def summarize_halt(events: Iterable[Event]) -> HaltSummary:
    summary = HaltSummary()
    for event in events:
        summary.apply(event)
    return summary
