"""What a kill command reports about the run that it names."""

from pathlib import Path

import pytest

from opslab.context import Context
from opslab.lab.context import context_of
from opslab.lab.kill import RunLookup, activate, look_up_run, record_in_runs
from opslab.model.primitives.ids import RunId
from opslab.settings import Settings


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return context_of(Settings(tmp_path, "--home"))


def test_a_run_with_a_folder_exists(context: Context) -> None:
    context.layout.run(RunId("night-1")).mkdir(parents=True)
    assert look_up_run(context, RunId("night-1")) == RunLookup(True, [])


def test_similar_names_are_those_of_runs_and_of_switches(context: Context) -> None:
    context.layout.run(RunId("night-1")).mkdir(parents=True)
    activate(context, RunId("night-2"), "odd", "ann")
    run = look_up_run(context, RunId("nigth-1"))
    assert run.exists is False
    assert set(run.nearest) == {"night-1", "night-2"}


def test_whether_a_run_exists_is_unknown_when_the_folder_of_runs_cannot_be_read(context: Context) -> None:
    context.layout.runs.parent.mkdir(parents=True)
    context.layout.runs.symlink_to(context.layout.runs)
    assert look_up_run(context, RunId("r1")).exists is None
    [note] = record_in_runs(context, None)
    assert note.startswith("the runs were not updated")


def test_a_change_without_runs_is_recorded_nowhere(context: Context) -> None:
    activate(context, None, "odd", "ann")
    assert record_in_runs(context, None) == []
    assert record_in_runs(context, RunId("r1")) == []
    assert not context.layout.runs.exists()
