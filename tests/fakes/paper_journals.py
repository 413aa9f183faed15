"""Runs of paper mode as their journals have them, written without running anything."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslab.model.messages.paper_messages import AccountSnapshot, EngineHeartbeat, NodeSnapshot, QueueState
from opslab.model.primitives.instant import NS_PER_SECOND
from opslab.model.run.event import RUN_FORMAT
from opslab.model.run.metadata import Owner
from opslab.runs.record.run_journal import seal_run
from opslab.runs.record.state import read_state
from opslab.store.runs.journal import Journal
from opslab.store.runs.run_folders import write_metadata
from opslab.system import SystemProcesses
from tests.drivers.tc import Tc
from tests.fakes.journal_events import FAILURE
from tests.fakes.moving_account import BEGIN_NS, Simulation

INTENT: dict[str, Any] = {
    "format": RUN_FORMAT,
    "mode": "paper",
    "strategy": {"name": "order_lifecycle_demo", "version": "v1"},
    "venue": "binance",
    "instrument": "BTCUSDT",
    "risk_profile": "tiny",
    "lab_version": "0.1.0",
}
GONE = Owner(host="elsewhere", boot_id="b", pid=7, process_start=9)


@dataclass(slots=True)
class RecordedClock:
    """Of the time at which the journal was written."""

    ns: int = BEGIN_NS

    def now_ns(self) -> int:
        return self.ns

    def monotonic_s(self) -> float:
        return self.ns / NS_PER_SECOND


def beat_of(node: NodeSnapshot, number: int) -> EngineHeartbeat:
    return EngineHeartbeat(
        number=number,
        sent_at=node.account.as_of,
        bars=number,
        quotes=0,
        trades=0,
        last_bar_ns=None,
        ages_seconds={"bars": 0.1, "quotes": None, "trades": None},
        feeds={"bars": "live", "quotes": "live", "trades": "live"},
        sockets={},
        queue=QueueState(state="normal", depth=None),
        gate_closed=False,
        orders_gated=0,
        memory_bytes=1,
        event_lag_ms=None,
        timer_lag_ms=0.0,
        order_round_trips_ms=(),
        node=node,
    )


def heartbeat(engine: int, beat: EngineHeartbeat, venue: AccountSnapshot | None) -> dict[str, Any]:
    """The payload of `paper_heartbeat`."""
    return {
        "engine_number": engine,
        "heartbeat": beat.model_dump(mode="json"),
        "venue": venue.model_dump(mode="json") if venue else None,
    }


def heartbeats_of(simulation: Simulation, count: int, engine: int = 1) -> list[tuple[int, dict[str, Any]]]:
    """(when, payload), one a second; the venue is asked a moment behind the node."""
    found = []
    for number in range(1, count + 1):
        simulation.now_s += 1
        node = simulation.node_snapshot(0, simulation.now_s - 0.002)
        found.append((simulation.now_ns(), heartbeat(engine, beat_of(node, number), simulation.venue_snapshot())))
    return found


def write_run(
    tc: Tc,
    run_id: str,
    beats: Iterable[tuple[int, Mapping[str, Any]]],
    *,
    ended: str | None = "run_completed",
    owner: Owner = GONE,
    mode: str = "paper",
) -> Path:
    """The folder of a run with these heartbeats in its journal, sealed when it has ended. owner: who runs it."""
    folder = tc.run_folder(run_id)
    folder.mkdir(parents=True)
    (folder / "logs").mkdir()
    clock = RecordedClock()
    with Journal(folder, clock) as journal:
        journal.append("run_initialized", {**INTENT, "run_id": run_id, "mode": mode})
        journal.append("run_started", {"owner": owner.model_dump()})
        for at_ns, payload in beats:
            clock.ns = at_ns
            journal.append_many([("paper_heartbeat", payload)])
        if ended:
            failure = {"failure": FAILURE.model_dump()} if ended == "run_failed" else {}
            journal.append(ended, {"ended_by": "max_bars", **failure})
    write_metadata(folder, read_state(folder))
    if ended:
        seal_run(folder, read_state(folder), clock, reports=True)
    return folder


def this_process() -> Owner:
    return SystemProcesses().this_process()
