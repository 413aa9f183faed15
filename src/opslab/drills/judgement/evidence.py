"""Questions to the history of a pass: marks, lines between them, heartbeats and probes. Pure."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Unpack

from opslab.drills.drill import HEARTBEAT
from opslab.drills.history import ENDINGS
from opslab.drills.judgement.check_details import CheckDetails
from opslab.model.checks.drill import (
    Check,
    HistoryEvent,
    Mark,
    PassHistory,
    PassKind,
    Probe,
    ProbeMode,
    Signal,
    StepDefinition,
    Verdict,
)
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso

STEADY_HEARTBEATS = 2
"""In a row, that show the steady state."""


def check(name: str, verdict: Verdict, text: str, kind: PassKind, **details: Unpack[CheckDetails]) -> Check:
    return Check(name=name, verdict=verdict, text=text, pass_kind=kind, **details)


def seconds_between(earlier: str, later: str) -> float:
    return round((parse_iso(later) - parse_iso(earlier)) / NS_PER_SECOND, 6)


class Evidence:
    """What one pass recorded."""

    def __init__(self, history: PassHistory) -> None:
        self.history = history
        self._seqs = [event.seq for event in history.events]

    def between(self, after: int = 0, before: int | None = None) -> Sequence[HistoryEvent]:
        """Lines with after < seq < before."""
        first = bisect_right(self._seqs, after)
        last = len(self._seqs) if before is None else bisect_right(self._seqs, before - 1)
        return self.history.events[first:last]

    def find(self, signal: Signal, after: int = 0, before: int | None = None) -> HistoryEvent | None:
        """The first line that fits."""
        return next((line for line in self.between(after, before) if signal.matches(line.event, line.payload)), None)

    def mark(self, name: str, step: int | None = None) -> Mark | None:
        return next((mark for mark in self.history.marks if mark.name == name and mark.step == step), None)

    def next_injection(self, step: int) -> int | None:
        """Number of the line with which the next step begins; None for the last one."""
        following = self.mark("injected", step + 1)
        return following.seq + 1 if following else None

    def has_ended_by(self, step: int) -> bool:
        """Whether the run ended during this step."""
        begin = self.mark("injected", step)
        stopped = self.mark("stopped")
        end = stopped.seq if stopped else None
        lines = self.between(begin.seq if begin else 0, None if end is None else end + 1)
        return any(line.event in (*ENDINGS, "run_stopping", "trading_halted") for line in lines) or (
            stopped is not None and stopped.detail == "killed" and self.mark("injected", step + 1) is None
        )

    def heartbeats(self, after: int = 0, before: int | None = None) -> list[HistoryEvent]:
        return [line for line in self.between(after, before) if line.event == HEARTBEAT]

    def last_heartbeat(self, before: int) -> HistoryEvent | None:
        """The last one up to this line."""
        return next((line for line in reversed(self.between(0, before + 1)) if line.event == HEARTBEAT), None)

    # The steady state.

    def steady_before(self, probes: Sequence[Probe]) -> Check:
        steady = self.mark("steady")
        begin = self.mark("injected", 0) or steady
        heartbeat = self.last_heartbeat(begin.seq) if begin else None
        kind = self.history.kind
        if steady is None or heartbeat is None:
            return check("steady before", "unknown", "the steady state was never seen", kind, is_premise=True)
        failing = [each.name for each in probes if not each.signal.matches(heartbeat.event, heartbeat.payload)]
        text = f"not steady: {', '.join(failing)}" if failing else ", ".join(each.name for each in probes)
        verdict: Verdict = "unknown" if failing else "pass"
        return check("steady before", verdict, text, kind, seq=heartbeat.seq, is_premise=True)

    def steady_after(
        self, probes: Sequence[Probe], number: int, step: StepDefinition, recovered_seq: int | None
    ) -> Check:
        """Some heartbeats in a row show the steady state again, after the recovery and before the next step.

        recovered_seq: None when the lab did not react; the steady state is then that after the end of the fault.
        """
        begin = self.mark("restored", number) or self.mark("injected", number)
        after = max(begin.seq if begin else 0, recovered_seq or 0)
        row, last = 0, "no heartbeat"
        for line in self.heartbeats(after, self.next_injection(number)):
            failing = [each.name for each in probes if not each.signal.matches(line.event, line.payload)]
            row, last = (0, ", ".join(failing)) if failing else (row + 1, "")
            if row == STEADY_HEARTBEATS:
                text = ", ".join(each.name for each in probes)
                return check(f"{step.name}: steady again", "pass", text, self.history.kind, step=number, seq=line.seq)
        text = f"not steady again: {last or 'too few heartbeats'}"
        return check(f"{step.name}: steady again", "fail", text, self.history.kind, step=number)

    def continuous(self, probes: Sequence[Probe], modes: Sequence[ProbeMode]) -> Iterator[Check]:
        """Probes of these modes, from the steady state until the run is stopped."""
        steady, stopped = self.mark("steady"), self.mark("stopped")
        if steady is None:
            return
        end = stopped.seq + 1 if stopped else None
        stop = next(
            (line.seq for line in self.between(steady.seq, end) if line.event in ("run_stopping", "trading_halted")),
            end,
        )
        lines = self.heartbeats(steady.seq, stop)
        for probe in probes:
            if probe.mode in modes:
                yield self._over(probe, lines)

    def _over(self, probe: Probe, lines: Sequence[HistoryEvent]) -> Check:
        kind, row = self.history.kind, 0
        is_premise = kind == "control"
        for line in lines:
            row = 0 if probe.signal.matches(line.event, line.payload) else row + 1
            if row > probe.tolerance:
                text = f"{row} heartbeats in a row differ: {probe.signal.text}"
                return check(f"{probe.name} throughout", "fail", text, kind, seq=line.seq, is_premise=is_premise)
        text = f"{len(lines)} heartbeats"
        return check(f"{probe.name} throughout", "pass", text, kind, is_premise=is_premise)
