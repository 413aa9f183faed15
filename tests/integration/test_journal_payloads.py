"""A journal with an event that this version does not know, or whose payload does not fit: what commands answer."""

from pathlib import Path
from typing import Any

import pytest

from opslab.model.run.metadata import Owner
from opslab.store.runs.journal import Journal
from opslab.system import SystemClock, SystemProcesses
from tests.drivers.tc import Tc
from tests.fakes.run_payloads import INTENT

LATER = ("of_a_later_version", {"x": 1})
ENDED = ("run_completed", {"metrics": {"bars_seen": "many"}})
LOST = ("engine_lost", {"engine_number": 1, "failure": "a text"})


@pytest.fixture
def tc(tmp_path: Path) -> Tc:
    return Tc(tmp_path)


def dead_owner() -> Owner:
    """As if this process had started at another time: the process that owned the run is gone."""
    this = SystemProcesses().this_process()
    return this.model_copy(update={"process_start": this.process_start - 1})


def journal(tc: Tc, *events: tuple[str, dict[str, Any]]) -> None:
    """A paper run whose owner died after these events."""
    folder = tc.run_folder("r1")
    (folder / "logs").mkdir(parents=True)
    with Journal(folder, SystemClock()) as journal:
        journal.append("run_initialized", {**INTENT, "mode": "paper"})
        journal.append("run_started", {"owner": dead_owner().model_dump()})
        for name, payload in events:
            journal.append(name, payload)


def test_an_event_of_a_later_version_stops_no_command(tc: Tc) -> None:
    journal(tc, LATER)
    assert tc.json("run", "show", "r1")["ended_by"] == "owner_gone"
    assert tc("run", "recover", "r1").code == 0
    assert tc("run", "verify", "r1").code == 0
    assert tc.json("run", "show", "r1")["status"] == "interrupted"


@pytest.mark.parametrize("command", ["show", "verify", "recover"])
def test_a_payload_that_does_not_fit_is_corrupt_with_file_line_and_field(tc: Tc, command: str) -> None:
    journal(tc, LATER, ENDED)
    answer = tc("run", command, "r1")
    assert answer.code == 6
    expected = "line 4 (run_completed) has a payload that this version cannot read: metrics.bars_seen"
    assert expected in f"{answer.out}{answer.err}"
    assert "journal.jsonl" in f"{answer.out}{answer.err}"


def test_a_command_that_does_not_need_the_event_does_not_refuse_it(tc: Tc) -> None:
    journal(tc, LOST)
    assert tc.json("run", "show", "r1")["status"] == "interrupted"
    before = (tc.run_folder("r1") / "journal.jsonl").read_bytes()
    answer = tc("run", "recover", "r1")
    assert answer.code == 6
    assert "journal.jsonl, line 3 (engine_lost) has a payload that this version cannot read: failure" in answer.err
    assert (tc.run_folder("r1") / "journal.jsonl").read_bytes() == before
