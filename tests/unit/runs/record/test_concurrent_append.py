"""What is told to a run that another process owns: while it runs, and never behind its end."""

from pathlib import Path

import pytest

from opslab.model.journal.check_events import ConnectivityProbeEvaluated
from opslab.model.journal.journal_event import JournalEvent
from opslab.model.journal.run_events import ENDINGS
from opslab.runs.record.concurrent_append import HasEnded, append_beside_owner
from opslab.store.runs.journal import Journal, last_event
from opslab.system import SystemClock

CHECK = "connectivity_probe_evaluated"


def begun(folder: Path, *events: str) -> Path:
    with Journal(folder, SystemClock()) as journal:
        journal.append("run_initialized", {})
        for name in ("run_started", *events):
            journal.append(name, {})
    return folder


def test_an_event_is_appended_while_the_run_has_not_ended(tmp_path: Path) -> None:
    with Journal(begun(tmp_path), SystemClock()) as of_the_owner:
        of_the_owner.append("order_event", {})
        append_beside_owner(tmp_path, SystemClock(), lambda: ConnectivityProbeEvaluated(state="probe_ok"))
        of_the_owner.append("order_event", {})
        assert [event.event for event in of_the_owner.take_concurrent_events()] == [CHECK]


@pytest.mark.parametrize(
    ("events", "is_sealed"),
    [*(((ending,), False) for ending in ENDINGS), *(((ending, CHECK), True) for ending in ENDINGS)],
)
def test_nothing_is_made_or_appended_behind_the_end(tmp_path: Path, events: tuple[str, ...], is_sealed: bool) -> None:
    """Of a sealed run the last event may be that of a later check."""
    begun(tmp_path, *events)
    if is_sealed:
        (tmp_path / "manifest.json").write_text("{}")
    before = last_event(tmp_path)

    def make() -> JournalEvent:
        raise AssertionError("it was made")

    with pytest.raises(HasEnded):
        append_beside_owner(tmp_path, SystemClock(), make)
    assert last_event(tmp_path) == before
