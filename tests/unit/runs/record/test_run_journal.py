"""`metadata.json` is written when it says something new."""

import json
from pathlib import Path

from opslab.model.journal.engine_events import FeedStateChanged
from opslab.model.journal.run_events import RunStarted
from opslab.model.run.metadata import Owner
from opslab.runs.record.run_journal import RunJournal
from opslab.runs.record.state import read_state
from opslab.store.runs.journal import Journal, read_events
from opslab.store.runs.run_folders import write_metadata
from opslab.system import SystemClock
from tests.fakes.journal_events import EXAMPLES
from tests.fakes.run_payloads import INTENT, OWNER

SAFETY = {
    "state": "absent",
    "scope": "run",
    "file": "runtime/kill_switch/r1.state.json",
    "reason": None,
    "actor": None,
    "activated_at": None,
    "cleared_at": None,
    "cleared_by": None,
    "clear_reason": None,
    "problem": None,
    "observed_by": "start_gate",
    "checked_at": "2026-01-01T00:00:03.000000Z",
}


def test_an_event_that_changes_nothing_of_the_run_leaves_its_metadata_alone(tmp_path: Path) -> None:
    folder = tmp_path / "r1"
    folder.mkdir()
    with Journal(folder, SystemClock()) as journal:
        journal.append("run_initialized", INTENT)
        begun = read_state(folder)
        write_metadata(folder, begun)
        log = RunJournal(folder, journal, begun)
        log.append(RunStarted(owner=Owner.model_validate(OWNER)))
        before = (folder / "metadata.json").stat()
        assert json.loads((folder / "metadata.json").read_text())["status"] == "running"
        log.append(EXAMPLES[FeedStateChanged])
        assert (folder / "metadata.json").stat().st_ino == before.st_ino
        with Journal(folder, SystemClock()) as other:
            other.append("kill_switch_observed", SAFETY)
        log.append(EXAMPLES[FeedStateChanged])
        assert json.loads((folder / "metadata.json").read_text())["safety"]["state"] == "absent"
    assert [event.seq for event in read_events(folder)] == [1, 2, 3, 4, 5]
