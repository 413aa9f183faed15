"""All experiments by name, in the order in which they run."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.breaking import (
    disk_full,
    drills,
    journal_bytes,
    kill_control,
    kill_engine,
    kill_recover,
    owner,
    paper_faults,
    paper_halts,
    paper_kills,
    paper_recover,
    race,
    record_bytes,
    stop_signals,
    tamper,
    venue_hostile,
    venue_kills,
    venue_ledger,
)
from tests.breaking.context import ExperimentContext
from tests.breaking.trial import Attempt


def nothing_skipped(_context: ExperimentContext) -> list[str]:
    return []


def nothing_measured(_context: ExperimentContext) -> list[tuple[str, str]]:
    return []


@dataclass(frozen=True, slots=True)
class Experiment:
    """`attempts` yields its trials; `skipped_reasons` lists parts that cannot run on this machine; `measured` yields
    figures of all its trials, with their names.
    """

    attempts: Callable[[ExperimentContext], Iterable[Attempt]]
    skipped_reasons: Callable[[ExperimentContext], list[str]] = nothing_skipped
    measured: Callable[[ExperimentContext], Iterable[tuple[str, str]]] = nothing_measured


EXPERIMENTS: dict[str, Experiment] = {
    "journal-bytes": Experiment(journal_bytes.attempts),
    "record-bytes": Experiment(record_bytes.attempts),
    "kill-recover": Experiment(kill_recover.attempts),
    "kill-control": Experiment(kill_control.attempts),
    "kill-engine": Experiment(kill_engine.attempts),
    "sigterm": Experiment(stop_signals.sigterm),
    "ctrl-c": Experiment(stop_signals.ctrl_c),
    "disk-full": Experiment(disk_full.attempts, disk_full.skipped_reasons),
    "race": Experiment(race.attempts),
    "tamper": Experiment(tamper.attempts),
    "owner": Experiment(owner.attempts),
    "venue-kill-node": Experiment(venue_kills.node_attempts),
    "venue-kill-venue": Experiment(venue_kills.venue_attempts),
    "venue-ledger": Experiment(venue_ledger.attempts),
    "venue-hostile": Experiment(venue_hostile.attempts),
    "paper-kill-engine": Experiment(paper_kills.engine_attempts),
    "paper-kill-control": Experiment(paper_kills.control_attempts),
    "paper-recover": Experiment(paper_recover.attempts),
    "paper-faults": Experiment(paper_faults.attempts, paper_faults.skipped_reasons),
    "paper-halt": Experiment(paper_halts.attempts),
    "drills": Experiment(drills.attempts, measured=drills.measured),
}
