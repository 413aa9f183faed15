"""The halt of a run from control's side: the switch watched here as well, the engine pressed, the account seen to.

Control depends on nothing that the engine does, as the engine depends on nothing that control does. Whoever sees the
switch first tells the other. What the engine does not do by a deadline is done to it: a signal, then the end of its
process; and then the venue itself ends what is open.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from opslab.killswitch.state import Switch
from opslab.killswitch.switch import read_switch
from opslab.killswitch.watcher import SwitchWatch
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.model.run.halt_summary import HaltFacts, SwitchState
from opslab.ports import Clock
from opslab.runs.record.run_journal import RunJournal
from opslab.runs.safety.flat_times import FlatTimes, seconds_between, seconds_to
from opslab.runs.safety.start_gate import safety_of
from opslab.store.layout import Layout

GATE_SECONDS = 0.5
"""An engine that has not said by then that its gate is closed gets a signal,"""
NO_GATE_SECONDS = 1.5
"""and is killed then."""
FLAT_SECONDS = 2.5
"""When the account is open at the venue still, the engine is killed: the venue can end it sooner."""
END_SECONDS = 8.0
"""How long an engine may take to end: a handler that blocks it may return until then."""

SWITCH = "kill switch"
"""Who says it, in an inbox."""
Escalation = Literal["none", "sigterm", "sigkill"]


@dataclass(frozen=True, slots=True)
class HaltProgress:
    """How far a halt is, as control sees it."""

    seconds: float
    """Since control knows of it."""
    gate_closed: bool
    done: Escalation


def next_escalation(progress: HaltProgress, is_flat: Callable[[], bool]) -> Escalation:
    """What is due now; `none`: nothing. is_flat: asks the venue; only called when it matters."""
    seconds = progress.seconds
    if progress.done == "sigkill":
        return "none"
    if seconds >= END_SECONDS or (not progress.gate_closed and seconds >= NO_GATE_SECONDS):
        return "sigkill"
    if seconds >= FLAT_SECONDS and not is_flat():
        return "sigkill"
    if progress.done == "none" and not progress.gate_closed and seconds >= GATE_SECONDS:
        return "sigterm"
    return "none"


class HaltController:
    """One run's. `begin` when anybody saw that its switch is active; what is asked for later is known by then."""

    def __init__(
        self, layout: Layout, run_id: RunId, clock: Clock, redact: Callable[[str], str], log: RunJournal
    ) -> None:
        self._layout = layout
        self._run_id = run_id
        self._clock = clock
        self._redact = redact
        self._log = log
        self._started_s: float | None = None
        self._switch: Switch | None = None
        self._seen_at = ""
        self._states: tuple[SwitchState, SwitchState] = ("absent", "absent")
        self._gate_closed_at: str | None = None
        self._flat_asked_s = 0.0
        self.escalation: Escalation = "none"

    @property
    def is_on(self) -> bool:
        return self._switch is not None

    @property
    def gate_closed(self) -> bool:
        return self._gate_closed_at is not None

    @property
    def command(self) -> dict[str, Any]:
        """For an engine."""
        assert self._switch
        return {"halt": asdict(self._switch)}

    def watch(self, tell: Callable[[dict[str, Any]], None]) -> SwitchWatch:
        """tell: is given the switch's fields, from another thread."""
        return SwitchWatch(self._layout, self._run_id, lambda switch: tell(asdict(switch)))

    def start(self, switch: Mapping[str, Any], gate_closed_at: str | None = None) -> bool:
        """Whether it was not known before. gate_closed_at: by the engine's own word."""
        is_new = self._switch is None
        if is_new:
            self._record_switch(switch)
        if gate_closed_at:
            self.gate_closed_by(gate_closed_at, "engine")
        return is_new

    def _record_switch(self, switch: Mapping[str, Any]) -> None:
        self._switch = current = Switch(**switch)
        self._started_s, self._seen_at = self._clock.monotonic_s(), iso(self._clock.now_ns())
        own, every = read_switch(self._layout, self._run_id), read_switch(self._layout, None)
        self._states = own.state, every.state
        self._log.tell("kill_switch_observed", safety_of(current, "watch", self._clock, self._redact).model_dump())

    def gate_closed_by(self, at: str, by: str) -> None:
        """No order can pass any more. by: `engine`, or why that is so without it."""
        assert self._switch
        if self._gate_closed_at is None:
            self._gate_closed_at = at
            self._log.tell(
                "trading_halted",
                {
                    "scope": self._switch.scope,
                    "activated_at": self._switch.activated_at,
                    "seen_at": self._seen_at,
                    "gate_closed_at": at,
                    "seconds_to_gate": self._since(at),
                    "by": by,
                    "run_switch": self._states[0],
                    "all_switch": self._states[1],
                },
            )

    def gate_closed_now(self, by: str) -> None:
        self.gate_closed_by(iso(self._clock.now_ns()), by)

    def next_step(self, is_flat: Callable[[], bool]) -> Escalation:
        """What is to be done to the engine now; it is taken for done."""
        assert self._started_s is not None
        passed = self._clock.monotonic_s() - self._started_s
        step = next_escalation(HaltProgress(passed, self.gate_closed, self.escalation), is_flat)
        if step != "none":
            self.escalation = step
        return step

    def summary(self, gated: int) -> HaltFacts:
        """gated: orders of the strategy that were kept back."""
        assert self._switch
        gate_closed_by = self._gate_closed_at
        return HaltFacts(
            scope=self._switch.scope,
            run_switch=self._states[0],
            all_switch=self._states[1],
            activated_at=self._switch.activated_at,
            seen_at=self._seen_at,
            gate_closed_at=gate_closed_by,
            seconds_to_gate=None if gate_closed_by is None else self._since(gate_closed_by),
            escalation=self.escalation,
            orders_gated=gated,
        )

    def seconds_to(self, times: FlatTimes, *, flat: bool) -> dict[str, float | None]:
        """flat: by the venue's last word. What an account never had, it had not."""
        if not flat:
            return {"seconds_to_no_orders": None, "seconds_to_flat": None}
        assert self._switch
        to_orders, to_flat = seconds_to(times, self._switch.activated_at or self._seen_at)
        return {"seconds_to_no_orders": to_orders, "seconds_to_flat": to_flat}

    def _since(self, at: str) -> float:
        assert self._switch
        return seconds_between(self._switch.activated_at or self._seen_at, at)
