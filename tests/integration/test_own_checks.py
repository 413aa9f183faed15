"""Reconciliations that a run's own process keeps with it: events, files, and what is left when it dies over one."""

import json
from pathlib import Path
from typing import Any

import pytest

from opslab.model.journal.run_events import RunCompleted
from opslab.model.run.metadata import Owner
from opslab.reconciliation.result import State
from opslab.runs.checks import check_results as checks
from opslab.runs.paper.reconciler import FinishedReconciliation, LiveOccasion, record_reconciliation
from opslab.runs.record.run_journal import RunJournal, seal_run
from opslab.runs.record.state import read_state
from opslab.store.runs.journal import Journal
from opslab.system import SystemClock
from tests.drivers.tc import Tc
from tests.fakes.moving_account import AccountHistory, Pace, Simulation, with_resting_order
from tests.fakes.paper_journals import heartbeats_of, this_process, write_run

STILL = Pace(0, (0, 0))


def finished(occasion: LiveOccasion, state: State = "ok") -> FinishedReconciliation:
    simulation = Simulation(
        with_resting_order(AccountHistory(0, STILL, 30)), node_error="lost order" if state == "mismatch" else None
    )
    simulation.node_is_up = state != "unknown"
    found = simulation.run(occasion)
    assert found.result.state == state
    return found


class Own:
    """A run that this process owns, with its journal open; `with` closes it."""

    def __init__(self, tc: Tc, owner: Owner | None = None) -> None:
        self.folder = write_run(
            tc,
            "r1",
            heartbeats_of(Simulation(AccountHistory(0, STILL, 30)), 3),
            ended=None,
            owner=owner or this_process(),
        )
        self.journal = Journal(self.folder, SystemClock())
        self.log = RunJournal(self.folder, self.journal, read_state(self.folder))

    def __enter__(self) -> "Own":
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.__exit__()

    def keep(self, occasion: LiveOccasion, state: State = "ok") -> dict[str, Any]:
        record_reconciliation(self.folder, self.log, finished(occasion, state))
        section = self.log.metadata.reconciliation
        assert section
        return section

    def end(self) -> None:
        self.log.append(RunCompleted(ended_by="max_bars"))
        seal_run(self.folder, self.log.metadata, SystemClock(), reports=True)

    @property
    def artifacts(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("reconciliation_result*"))


@pytest.fixture
def lab(tmp_path: Path) -> Tc:
    return Tc(tmp_path)


def test_a_day_of_periodic_ones_that_are_ok_makes_events_and_no_file(lab: Tc) -> None:
    found = finished("periodic")
    with Own(lab) as own:
        for _ in range(100):
            record_reconciliation(own.folder, own.log, found)
        own.end()
        assert own.artifacts == []
        payloads = [one["payload"] for one in lab.events("r1") if one["event"] == "reconciliation_checked"]
    assert len(payloads) == 100
    assert {(one["occasion"], one["state"], one["artifact"], one["comparisons"]) for one in payloads} == {
        ("periodic", "ok", None, 1)
    }
    assert all(one["ok"] > 0 for one in payloads)
    lab.ok("run", "verify", "r1")
    shown = lab.json("run", "show", "r1")["reconciliation"]
    assert (shown["occasion"], shown["state"]) == ("periodic", "ok")
    assert "reconciliation  ok\n" in lab.ok("run", "show", "r1").out
    assert "periodic" in (own.folder / "report.md").read_text()


def test_startup_final_and_all_that_is_not_ok_have_their_file(lab: Tc) -> None:
    with Own(lab) as own:
        own.keep("startup")
        own.keep("periodic")
        own.keep("periodic", "mismatch")
        section = own.keep("periodic")
        assert (section["state"], section["artifact"]) == ("ok", None)
        assert section["last_artifact"] == "reconciliation_result-2.json"
        own.keep("periodic", "unknown")
        own.keep("final")
        own.end()
        states = [
            json.loads((own.folder / f"reconciliation_result-{number}.json").read_text())["state"]
            for number in (1, 2, 3, 4)
        ]
        assert states == ["ok", "mismatch", "unknown", "ok"]
        assert len(own.artifacts) == 5
    lab.ok("run", "verify", "r1")
    assert lab.json("run", "show", "r1")["reconciliation"]["artifact"] == "reconciliation_result-4.json"


def test_the_copy_is_of_the_last_file_though_later_events_had_none(lab: Tc) -> None:
    with Own(lab) as own:
        own.keep("periodic", "mismatch")
        own.keep("periodic")
        own.end()
        copy = own.folder / "reconciliation_result.json"
        assert copy.read_bytes() == (own.folder / "reconciliation_result-1.json").read_bytes()
        lab.ok("run", "verify", "r1")
        copy.write_text("{}\n")
        assert lab("run", "verify", "r1").code == 6
        lab.ok("run", "report", "r1")
        lab.ok("run", "verify", "r1")
        copy.unlink()
        lab.ok("run", "verify", "r1")


def test_others_may_keep_theirs_in_between_and_no_number_is_given_twice(lab: Tc) -> None:
    with Own(lab) as own:
        own.keep("startup")
        assert lab("reconcile", "check", "--from-run", "r1").code == 0
        own.keep("periodic", "mismatch")
        assert lab("reconcile", "check", "--from-run", "r1").code == 0
        own.keep("periodic")
        own.end()
    kept = [one["payload"]["artifact"] for one in lab.events("r1") if one["event"] == "reconciliation_checked"]
    assert kept == [f"reconciliation_result-{number}.json" for number in (1, 2, 3, 4)] + [None]
    lab.ok("run", "verify", "r1")
    assert lab("reconcile", "check", "--from-run", "r1").code == 0
    lab.ok("run", "verify", "r1")


class Died(BaseException):
    pass


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (checks, "_write_artifact"),
        (Journal, "append_exclusively"),
        (RunJournal, "append_exclusively"),
        (checks, "write_copy"),
    ],
)
def test_whoever_dies_over_one_leaves_what_recover_ends(
    lab: Tc, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
) -> None:
    """Dies behind a step: the result is there whole, with its event, or not at all."""
    with Own(lab, this_process().model_copy(update={"pid": 2**22 - 1})) as own:
        own.keep("startup")
        real = getattr(owner, step)

        def dies(*args: Any, **more: Any) -> Any:
            real(*args, **more)
            raise Died

        with monkeypatch.context() as patch:
            patch.setattr(owner, step, dies)
            with pytest.raises(Died):
                own.keep("periodic", "mismatch")
    lab.ok("run", "recover", "r1")
    lab.ok("run", "verify", "r1")
    is_kept = step != "_write_artifact"
    shown = lab.json("run", "show", "r1")
    assert (shown["status"], shown["reconciliation"]["state"]) == ("interrupted", "mismatch" if is_kept else "ok")
    last = f"reconciliation_result-{2 if is_kept else 1}.json"
    assert shown["reconciliation"]["artifact"] == last
    assert own.artifacts == sorted({"reconciliation_result.json", "reconciliation_result-1.json", last})
    assert (own.folder / "reconciliation_result.json").read_bytes() == (own.folder / last).read_bytes()


def test_a_sealed_run_with_events_without_a_file_takes_later_checks(lab: Tc) -> None:
    with Own(lab) as own:
        own.keep("periodic", "mismatch")
        own.keep("periodic")
        own.end()
    assert lab("reconcile", "check", "--from-run", "r1").code == 0
    lab.ok("run", "verify", "r1")
    (own.folder / "metadata.json").unlink()
    lab.ok("run", "report", "r1")
    lab.ok("run", "verify", "r1")


def test_an_event_without_a_file_behind_a_seal_is_a_change(lab: Tc) -> None:
    """A check that comes later has its file: only the owner tells without one, and not behind its seal."""
    with Own(lab) as own:
        own.keep("startup")
        own.end()
        own.keep("periodic")
    assert lab("run", "verify", "r1", "--json").code == 6
