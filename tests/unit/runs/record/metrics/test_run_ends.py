"""Every end of a run counts, once for each status in which it was seen, and no counter falls."""

from hypothesis import given
from hypothesis import strategies as st

from opslab.runs.record.metrics.run_ends import RunEnds
from opslab.runs.record.selection import Row
from opslab.store.run_ends import Counted

COMPLETED, HALTED = ("backtest", "completed", ""), ("paper", "halted", "kill_switch")
OWNER_GONE = ("paper", "interrupted", "owner_gone")


def row(name: str, key: tuple[str, str, str] | None) -> Row:
    if key is None:
        return Row(name, mode="paper", status="running")
    return Row(name, mode=key[0], status=key[1], ended_by=key[2] or None)


def changes_to(
    before: dict[str, tuple[str, str, str] | None], now: dict[str, tuple[str, str, str] | None]
) -> dict[str, Row | None]:
    changed = {name: row(name, key) for name, key in now.items() if name not in before or before[name] != key}
    return {**changed, **dict.fromkeys(before.keys() - now.keys())}


def test_a_run_that_began_and_ended_between_two_counts_is_counted() -> None:
    ends = RunEnds({})
    ends.count({})
    ends.count({f"r{number}": row(f"r{number}", COMPLETED) for number in range(100)})
    assert ends.counts == {COMPLETED: 100}


def test_a_run_counts_once() -> None:
    ends = RunEnds({})
    for _ in range(3):
        ends.count({"a": row("a", COMPLETED), "b": row("b", None), "c": Row("c", error="broken")})
    assert ends.counts == {COMPLETED: 1}


def test_a_deleted_run_stays_counted_and_one_in_its_place_counts() -> None:
    ends = RunEnds({})
    ends.count({"a": row("a", COMPLETED)})
    ends.count({"a": None, "b": row("b", COMPLETED)})
    assert ends.counts == {COMPLETED: 2}


def test_a_recovered_run_counts_under_both_statuses() -> None:
    ends = RunEnds({})
    ends.count({"a": row("a", OWNER_GONE)})
    ends.count({"a": row("a", HALTED)})
    assert ends.counts == {OWNER_GONE: 1, HALTED: 1}


def test_a_restart_goes_on_from_what_was_stored() -> None:
    first = RunEnds({})
    first.count({"a": row("a", COMPLETED), "b": row("b", COMPLETED)})
    stored = first.count({"a": None})
    assert stored == {COMPLETED: Counted(2, 1)}
    second = RunEnds(stored)
    second.count({"b": row("b", COMPLETED), "c": row("c", COMPLETED), "d": row("d", HALTED)})
    assert second.counts == {COMPLETED: 3, HALTED: 1}


KEYS = st.sampled_from([None, COMPLETED, HALTED, OWNER_GONE])
HOMES = st.dictionaries(st.sampled_from("abcdef"), KEYS)


@given(st.lists(st.tuples(HOMES, st.booleans()), max_size=12))
def test_no_counter_falls_whatever_happens(history: list[tuple[dict[str, tuple[str, str, str] | None], bool]]) -> None:
    """With restarts of the exporter, deleted runs, and runs that change their status."""
    ends = RunEnds({})
    stored: dict[tuple[str, str, str], Counted] = {}
    before: dict[tuple[str, str, str], int] = {}
    known: dict[str, tuple[str, str, str] | None] = {}
    for home, restarts in history:
        if restarts:
            ends, known = RunEnds(stored), {}
        stored = ends.count(changes_to(known, home))
        known = home
        assert all(ends.counts[key] >= count for key, count in before.items())
        existing = [key for key in home.values() if key]
        assert all(ends.counts[key] >= existing.count(key) for key in existing)
        before = dict(ends.counts)
