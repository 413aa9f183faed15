"""A journal with an event that this version does not know, or whose payload does not fit."""

from pathlib import Path
from typing import Any

import pytest

from opslab.errors import Corrupt, OtherFormat
from opslab.runs.paper.journal_summary import summarize_journal
from opslab.runs.record.state import read_state
from opslab.runs.safety.halt_summary import summarize_halt_in
from opslab.store.runs.journal import Journal
from opslab.system import SystemClock
from tests.fakes.run_payloads import INTENT, OWNER


def journal(folder: Path, *events: tuple[str, dict[str, Any]]) -> Path:
    run = folder / "r1"
    run.mkdir()
    with Journal(run, SystemClock()) as journal:
        journal.append("run_initialized", INTENT)
        for name, payload in (("run_started", {"owner": OWNER}), *events):
            journal.append(name, payload)
    return run


def test_an_unknown_event_is_passed_over(tmp_path: Path) -> None:
    run = journal(tmp_path, ("of_a_later_version", {"x": 1}), ("run_interrupted", {"ended_by": "SIGINT"}))
    assert (read_state(run).status, read_state(run).ended_by) == ("interrupted", "SIGINT")
    assert summarize_journal(run).began_s is not None
    assert summarize_halt_in(run).switch is None


def test_a_payload_that_does_not_fit_is_corrupt_with_its_line(tmp_path: Path) -> None:
    run = journal(tmp_path, ("run_completed", {"metrics": {"bars_seen": "many"}}))
    with pytest.raises(Corrupt, match=r"run r1: journal\.jsonl, line 3 \(run_completed\)") as caught:
        read_state(run)
    assert (caught.value.exit_code, caught.value.file, caught.value.line) == (6, "journal.jsonl", 3)
    assert "metrics.bars_seen" in caught.value.message


def test_only_the_fold_that_needs_an_event_refuses_its_payload(tmp_path: Path) -> None:
    run = journal(tmp_path, ("engine_lost", {"engine_number": "one"}))
    assert read_state(run).status == "running"
    for fold in (summarize_journal, summarize_halt_in):
        with pytest.raises(Corrupt, match=r"line 3 \(engine_lost\)") as caught:
            fold(run)
        assert caught.value.line == 3


def test_another_format_is_named_before_its_payload_is_read(tmp_path: Path) -> None:
    run = tmp_path / "r1"
    run.mkdir()
    with Journal(run, SystemClock()) as journal:
        journal.append("run_initialized", {"run_id": "r1", "format": 3, "mode": "unheard_of"})
    with pytest.raises(OtherFormat):
        read_state(run)
