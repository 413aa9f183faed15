"""The halt of a run as control drives it: watch the switch, escalate against the engine, secure the account.

Control and engine watch the switch independently; the first to see it informs the other. At each missed deadline
control escalates: SIGTERM, then SIGKILL. Finally the venue itself cancels and flattens. If the venue refuses to do
that, the engine alone can flatten the account, and gets more time.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, TypedDict

from opslab.killswitch.state import Switch
from opslab.killswitch.switch import read_switch
from opslab.killswitch.watcher import SwitchWatch
from opslab.model.journal.engine_events import GateClosedBy, TradingHalted
from opslab.model.journal.run_events import KillSwitchObserved
from opslab.model.pipe.messages import HaltCommand
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.model.run.halt_summary import HaltFacts, SwitchState
from opslab.ports import Clock
from opslab.runs.record.run_journal import RunJournal
from opslab.runs.safety.flat_times import FlatTimes, seconds_between, seconds_to
from opslab.runs.safety.halt_summary import HaltSummary
from opslab.runs.safety.start_gate import safety_of
from opslab.store.layout import Layout

GATE_SECONDS = 0.5
"""Deadline for the engine to report a closed gate; after it the engine gets SIGTERM."""
NO_GATE_SECONDS = 1.5
"""Deadline for the closed gate after which the engine is killed."""
FLAT_SECONDS = 2.5
"""When the account is still open at the venue, the engine is killed: the venue can flatten it sooner."""
END_SECONDS = 8.0
"""Deadline for the engine to end; a blocking handler may return until then. From the time on at which the account was
flat, if only the engine could flatten it."""
ALONE_SECONDS = 60.0
"""Deadline instead of the last two for an engine with a closed gate and an open account that the venue refuses to
flatten. It is above the engine's own: see `rest_flatten.FINISH_SECONDS`."""


class SecondsTo(TypedDict):
    """From the activation of the switch. None: the account is not flat."""

    seconds_to_no_orders: float | None
    seconds_to_flat: float | None


Escalation = Literal["none", "sigterm", "sigkill"]


@dataclass(frozen=True, slots=True)
class HaltProgress:
    """State of a halt as control sees it."""

    seconds: float
    """Since control first saw the active switch."""
    gate_closed: bool
    last_escalation: Escalation
    open_seconds: float = 0.0
    """`seconds` at which the venue last reported an account that is not flat; 0: never."""


@dataclass(frozen=True, slots=True)
class AccountAtVenue:
    """The account as the venue reports it, during a halt."""

    is_flat: bool
    can_flatten: bool
    """Whether the venue flattens it on request."""


def next_escalation(progress: HaltProgress, account: Callable[[], AccountAtVenue]) -> Escalation:
    """The escalation that is due now. account: queries the venue; called only when the answer matters."""
    seconds = progress.seconds
    if progress.last_escalation == "sigkill":
        return "none"
    if seconds >= ALONE_SECONDS or (not progress.gate_closed and seconds >= NO_GATE_SECONDS):
        return "sigkill"
    if seconds >= FLAT_SECONDS:
        now = account()
        if not now.is_flat:
            return "sigkill" if now.can_flatten else "none"
        if seconds - progress.open_seconds >= END_SECONDS:
            return "sigkill"
    if progress.last_escalation == "none" and not progress.gate_closed and seconds >= GATE_SECONDS:
        return "sigterm"
    return "none"


class HaltController:
    """The halt of one run. `start` when the switch was first seen active; the other methods need that."""

    def __init__(
        self, layout: Layout, run_id: RunId, clock: Clock, redact: Callable[[str], str], log: RunJournal
    ) -> None:
        self._layout = layout
        self._run_id = run_id
        self._clock = clock
        self._redact = redact
        self._log = log
        self._started_s: float | None = None
        self._open_seconds = 0.0
        self._switch: Switch | None = None
        self._seen_at = ""
        self._run_switch: SwitchState = "absent"
        self._all_switch: SwitchState = "absent"
        self._gate_closed_at: str | None = None
        self.escalation: Escalation = "none"
        self._facts = HaltSummary()
        log.observers.append(self._facts.apply)

    @property
    def is_on(self) -> bool:
        return self._switch is not None

    @property
    def gate_closed(self) -> bool:
        return self._gate_closed_at is not None

    @property
    def command(self) -> HaltCommand:
        """The command for an engine."""
        assert self._switch
        return HaltCommand(switch=asdict(self._switch))

    def watch(self, on_active: Callable[[Switch], None]) -> SwitchWatch:
        """on_active: called from another thread."""
        return SwitchWatch(self._layout, self._run_id, on_active)

    def start(self, switch: Switch, gate_closed_at: str | None = None) -> None:
        """Start the halt, unless it has started. gate_closed_at: as the engine reported it, UTC."""
        if self._switch is None:
            self._record_switch(switch)
        if gate_closed_at:
            self._record_gate_closed(gate_closed_at, "engine")

    def _record_switch(self, switch: Switch) -> None:
        self._switch = switch
        self._started_s, self._seen_at = self._clock.monotonic_s(), iso(self._clock.now_ns())
        self._run_switch = read_switch(self._layout, self._run_id).state
        self._all_switch = read_switch(self._layout, None).state
        self._log.append(KillSwitchObserved.of(safety_of(switch, "watch", self._clock, self._redact)))

    def _record_gate_closed(self, at: str, by: GateClosedBy) -> None:
        """No order can pass after this; only the first report counts."""
        assert self._switch
        if self._gate_closed_at is None:
            self._gate_closed_at = at
            self._log.append(
                TradingHalted(
                    scope=self._switch.scope,
                    activated_at=self._switch.activated_at,
                    seen_at=self._seen_at,
                    gate_closed_at=at,
                    seconds_to_gate=self._since(at),
                    by=by,
                    run_switch=self._run_switch,
                    all_switch=self._all_switch,
                )
            )

    def gate_closed_now(self, by: GateClosedBy) -> None:
        self._record_gate_closed(iso(self._clock.now_ns()), by)

    def next_step(self, account: Callable[[], AccountAtVenue]) -> Escalation:
        """The next escalation against the engine, recorded as applied."""
        assert self._started_s is not None
        seconds = self._clock.monotonic_s() - self._started_s

        def observed_account() -> AccountAtVenue:
            now = account()
            if not now.is_flat:
                self._open_seconds = seconds
            return now

        progress = HaltProgress(seconds, self.gate_closed, self.escalation, self._open_seconds)
        step = next_escalation(progress, observed_account)
        if step != "none":
            self.escalation = step
        return step

    def summary(self, gated: int) -> HaltFacts:
        """gated: orders of the strategy that the closed gate denied."""
        facts = self._facts.summary(None, flat=None)
        assert facts is not None
        return facts.model_copy(update={"escalation": self.escalation, "orders_gated": max(gated, facts.orders_gated)})

    def seconds_to(self, times: FlatTimes, *, flat: bool) -> SecondsTo:
        """flat: as the venue last reported."""
        if not flat:
            return {"seconds_to_no_orders": None, "seconds_to_flat": None}
        assert self._switch
        to_orders, to_flat = seconds_to(times, self._switch.activated_at or self._seen_at)
        return {"seconds_to_no_orders": to_orders, "seconds_to_flat": to_flat}

    def _since(self, at: str) -> float:
        assert self._switch
        return seconds_between(self._switch.activated_at or self._seen_at, at)
