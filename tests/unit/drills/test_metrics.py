"""The series of drills follow from the rows of the run list."""

from opslab.drills.metrics import drill_samples
from opslab.drills.recorded import recorded_drills
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.runs.record.selection import Row
from tests.fakes.drill_records import drill_row

DAY = tuple(f"2026-01-0{day}T00:00:00.000000Z" for day in range(1, 9))


def values(*rows: Row, names: tuple[str, ...] = ("disconnect",)) -> dict[str, object]:
    """Series without the prefix to value, those with the value 0 left out."""
    return {
        " ".join((sample.family.name.removeprefix("opslab_"), *sample.labels)): sample.value
        for sample in drill_samples(rows, names)
        if sample.value != 0
    }


def seconds(time: str) -> float:
    return parse_iso(time) / NS_PER_SECOND


def test_a_drill_that_was_never_run_has_its_series() -> None:
    assert values() == {"drill_state disconnect never_run": 1}
    samples = list(drill_samples((), ("disconnect",)))
    assert {sample.labels[1] for sample in samples if sample.family.name == "opslab_drill_runs"} == {
        "pass",
        "fail",
        "unknown",
    }


def test_the_state_is_that_of_the_run_that_ended_last() -> None:
    found = values(
        drill_row("b", "disconnect", "fail", DAY[2], 2.5),
        drill_row("a", "disconnect", "pass", DAY[1], 1.0, 4.0),
    )
    assert found == {
        "drill_state disconnect fail": 1,
        "drill_runs disconnect pass": 1,
        "drill_runs disconnect fail": 1,
        "drill_last_started_timestamp_seconds disconnect": seconds(DAY[2]),
        "drill_last_ended_timestamp_seconds disconnect": seconds(DAY[2]),
        "drill_last_pass_timestamp_seconds disconnect": seconds(DAY[1]),
        "drill_detect_seconds disconnect": 2.5,
        "drills_first_ended_timestamp_seconds": seconds(DAY[1]),
    }


def test_a_summary_that_cannot_be_read_counts_as_unreadable_only() -> None:
    found = values(drill_row("a", "disconnect", None, DAY[1]), drill_row("b", "disconnect", "perhaps", DAY[1]))
    assert found == {"drill_state disconnect never_run": 1, "drill_runs_unreadable disconnect": 2}


def test_drills_that_the_lab_does_not_have_any_more_have_no_series() -> None:
    assert values(drill_row("a", "earthquake", "pass", DAY[1])) == {"drill_state disconnect never_run": 1}


def test_runs_without_a_drill_are_left_out() -> None:
    assert recorded_drills((Row("r1"),), ("disconnect",))["disconnect"].count == 0
