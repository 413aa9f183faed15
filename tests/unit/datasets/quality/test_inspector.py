"""Each rule finds its fault in its line, wherever batches end."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.datasets.candles import CANDLES, NUMBER, Chunk
from opslab.datasets.fingerprint import Fingerprint
from opslab.datasets.origin import ConsecutiveRows
from opslab.datasets.quality.findings import MAX_LISTED_PER_RULE, QualityFindings
from opslab.datasets.quality.inspector import Inspector
from opslab.datasets.quality.rules import ALLOWABLE, MIN_ZERO_VOLUME_CANDLES, RULES
from opslab.datasets.sources.repairs import IdenticalDropper, in_time_order
from opslab.model.market.instrument import instrument_of
from opslab.resources import exchange_info_symbol
from tests.oracles.documented_fingerprint import documented_fingerprint

INSTRUMENT = instrument_of(exchange_info_symbol("BTCUSDT"))
START_MS = 1_704_067_200_000

Row = tuple[int, str, str, str, str, str]


def candle(
    minute: float, opened: str = "10", high: str = "12", low: str = "9", close: str = "11", volume: str = "1"
) -> Row:
    return int(START_MS + minute * 60_000), opened, high, low, close, volume


def batch(rows: list[Row]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    values = [pa.array([Decimal(text) for text in column], NUMBER) for column in columns[1:]]
    return pa.RecordBatch.from_arrays([pa.array(columns[0], pa.int64()), *values], schema=CANDLES)


def inspected(rows: list[Row], cuts: tuple[int, ...] = ()) -> QualityFindings:
    inspector = Inspector(INSTRUMENT)
    complete, start = batch(rows), 0
    for end in [*sorted(cuts), len(rows)]:
        inspector.inspect(Chunk(complete.slice(start, end - start), ConsecutiveRows("f.csv", 2 + start)))
        start = end
    return inspector.finish()


FAULTS = {
    "disorder": ([candle(0), candle(1), candle(0)], 4),
    "duplicate_identical": ([candle(0), candle(1), candle(1)], 4),
    "duplicate_disagreeing": ([candle(0), candle(1), candle(1, close="11.5")], 4),
    "gap": ([candle(0), candle(1), candle(4)], 4),
    "off_grid": ([candle(0), candle(1), candle(1.5)], 4),
    "not_enclosed": ([candle(0), candle(1, high="10.9"), candle(2)], 3),
    "non_positive_price": ([candle(0, low="0"), candle(1)], 2),
    "negative_volume": ([candle(0), candle(1, volume="-0.001")], 3),
    "too_precise": ([candle(0), candle(1, close="11.001")], 3),
}


@pytest.mark.parametrize("rule", FAULTS)
def test_a_fault_is_found_in_its_line(rule: str) -> None:
    rows, line = FAULTS[rule]
    findings = inspected(rows)
    assert [(finding.rule, finding.line) for finding in findings.listed if finding.rule == rule] == [(rule, line)]
    assert set(findings.counts) <= {rule, "gap"} or rule == "off_grid"


def test_low_over_open_and_high_under_low_are_not_enclosed() -> None:
    rows = [candle(0, low="10.5"), candle(1, low="11.5", high="11.4", opened="11.4", close="11.4"), candle(2)]
    assert inspected(rows).counts == {"not_enclosed": 2}


def test_sound_candles_have_no_findings() -> None:
    flat = candle(1, "10", "10", "10", "10", "0")
    assert inspected([candle(0), flat, candle(2, volume="1.123", close="10.9")]).counts == {}


def test_listed_findings_are_bounded_and_all_are_counted() -> None:
    findings = inspected([candle(n, volume="-1") for n in range(100)])
    assert findings.counts == {"negative_volume": 100}
    assert len(findings.listed) == MAX_LISTED_PER_RULE


def test_a_long_sequence_without_volume_is_one_finding() -> None:
    short = [candle(n, volume="0" if 3 <= n < 3 + MIN_ZERO_VOLUME_CANDLES - 1 else "1") for n in range(40)]
    long = [candle(n, volume="0" if 3 <= n < 3 + MIN_ZERO_VOLUME_CANDLES else "1") for n in range(40)]
    assert inspected(short).counts == {}
    for cuts in ((), (5,), (3, 13), (4, 6, 9), tuple(range(40))):
        findings = inspected(long, cuts)
        assert findings.counts == {"zero_volume": 1}
        assert (findings.listed[0].line, findings.listed[0].severity) == (5, "warning")
    late = [candle(n, volume="0" if n < 30 else "1") for n in range(31)]
    assert inspected(late, (10,)).counts == {"zero_volume": 1}


def test_a_jump_is_a_warning_and_a_price_off_the_tick_an_error() -> None:
    far = candle(1, "13", "13", "13", "13")
    assert inspected([candle(0), far]).counts == {"jump": 1}
    assert inspected([candle(0), candle(1, close="11.05")]).counts == {"off_tick": 1}
    assert (RULES["jump"].severity, RULES["off_tick"].severity) == ("warning", "error")


def test_candles_without_any_volume_are_not_trades() -> None:
    assert inspected([candle(n, volume="0") for n in range(30)], (10,)).counts == {"wrong_instrument": 1}


def test_a_price_level_that_changes_within_a_week_is_another_instrument() -> None:
    def priced(minute: float, price: str) -> Row:
        return candle(minute, price, price, price, price)

    changes = [priced(0, "60000"), priced(1, "3000"), priced(2, "3000"), priced(3, "60000")]
    findings = inspected(changes, (2,))
    assert findings.counts == {"jump": 2, "wrong_instrument": 2}
    assert [finding.line for finding in findings.listed if finding.rule == "wrong_instrument"] == [3, 5]
    after_a_gap = inspected([priced(0, "60000"), priced(1500, "3000")])
    assert after_a_gap.counts == {"gap": 1, "jump": 1, "wrong_instrument": 1}
    months_later = inspected([priced(0, "20000"), priced(100_000, "65000")])
    assert months_later.counts == {"gap": 1, "jump": 1}


@pytest.mark.parametrize(("minutes", "name"), [(1 / 60, "1-second"), (5, "5-minute"), (60, "1-hour"), (1440, "1-day")])
def test_candles_of_another_interval_are_one_finding(minutes: float, name: str) -> None:
    rows = [candle(n * minutes) for n in range(40)]
    for cuts in ((), (1,), (20,)):
        findings = inspected(rows, cuts)
        assert findings.counts == {"wrong_interval": 1}
        assert findings.listed[0].line == 2
        assert f"these are {name} candles" in findings.listed[0].detail


def test_candles_of_no_known_interval_are_not_one_minute_candles() -> None:
    months = [candle(days * 1440) for days in (0, 31, 59, 90)]
    findings = inspected(months)
    assert findings.counts == {"wrong_interval": 1}


def test_a_file_of_another_interval_among_others_is_named() -> None:
    inspector = Inspector(INSTRUMENT)
    for file, rows in (
        ("a.csv", [candle(n) for n in range(40)]),
        ("b.csv", [candle(40 + 5 * n) for n in range(8)]),
        ("c.csv", [candle(80 + n) for n in range(40)]),
    ):
        inspector.inspect(Chunk(batch(rows), ConsecutiveRows(file, 2)))
    findings = inspector.finish()
    assert [(each.file, each.line) for each in findings.listed if each.rule == "wrong_interval"] == [("b.csv", 2)]
    assert findings.counts == {"wrong_interval": 1, "gap": 8}


def test_a_few_gaps_are_not_another_interval() -> None:
    assert inspected([candle(0), candle(5), candle(10)]).counts == {"gap": 2}
    half = [candle(n if n < 20 else 20 + 5 * (n - 20)) for n in range(40)]
    assert inspected(half).counts == {"gap": 19}


def test_rules_that_cannot_be_allowed() -> None:
    assert "gap" in ALLOWABLE
    for name in ("unreadable", "disorder", "negative_volume", "too_precise", "overlap", "jump"):
        assert name not in ALLOWABLE


TIMES = st.lists(st.integers(0, 8), min_size=1, max_size=25)


@settings(max_examples=100)
@given(TIMES, st.data())
def test_sorting_keeps_every_candle_and_its_location(minutes: list[int], data: st.DataObject) -> None:
    rows = [candle(minute, volume=str(index + 1)) for index, minute in enumerate(minutes)]
    cut = data.draw(st.integers(0, len(rows)))
    parts = [Chunk(batch(rows[:cut]), ConsecutiveRows("a", 1)), Chunk(batch(rows[cut:]), ConsecutiveRows("b", 1))]
    sorted_chunks = list(in_time_order([part for part in parts if part.batch.num_rows]))
    seen = []
    for chunk in sorted_chunks:
        for row in range(chunk.batch.num_rows):
            file, line = chunk.origin.location(row)
            index = line - 1 + (cut if file == "b" else 0)
            assert chunk.batch.column("volume")[row].as_py() == index + 1
            seen.append((chunk.batch.column("open_time")[row].as_py(), index))
    assert seen == sorted((rows[index][0], index) for index in range(len(rows)))


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["10", "10.5"])), min_size=1, max_size=25), st.data())
def test_only_a_repetition_of_the_previous_candle_is_dropped(cells: list[tuple[int, str]], data: st.DataObject) -> None:
    rows = [candle(minute, opened) for minute, opened in cells]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    complete, start, parts = batch(rows), 0, []
    for end in [*cuts, len(rows)]:
        parts.append(Chunk(complete.slice(start, end - start), ConsecutiveRows("f", 1 + start)))
        start = end
    dropper = IdenticalDropper()
    kept = [
        chunk.origin.location(row)[1] - 1
        for chunk in dropper.without_repeats(parts)
        for row in range(chunk.batch.num_rows)
    ]
    assert kept == [index for index in range(len(rows)) if index == 0 or rows[index] != rows[index - 1]]
    assert dropper.dropped == len(rows) - len(kept)


def test_a_gap_names_the_missing_minutes() -> None:
    assert "3 minutes" in inspected([candle(0), candle(4)]).listed[0].detail


LOWS = st.sampled_from(["8", "10", "0"])
HIGHS = st.sampled_from(["12", "9"])
VOLUMES = st.sampled_from(["1", "-1", "1.0001"])


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 6), LOWS, HIGHS, VOLUMES), min_size=1, max_size=30), st.data())
def test_batch_boundaries_do_not_change_the_findings(
    given_rows: list[tuple[int, str, str, str]], data: st.DataObject
) -> None:
    rows = [candle(minute, low=low, high=high, volume=volume) for minute, low, high, volume in given_rows]
    cuts = tuple(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    single, split = inspected(rows), inspected(rows, cuts)
    assert single.counts == split.counts
    assert {finding.text() for finding in single.listed} == {finding.text() for finding in split.listed}


def fingerprint(rows: list[Row], cuts: tuple[int, ...] = ()) -> str:
    result = Fingerprint(INSTRUMENT.bar_type)
    complete, start = batch(rows), 0
    for end in [*sorted(cuts), len(rows)]:
        result.update(complete.slice(start, end - start))
        start = end
    return result.digest()


@given(st.integers(1, 40), st.lists(st.integers(0, 40), max_size=4))
def test_a_fingerprint_does_not_depend_on_batches(count: int, cuts: list[int]) -> None:
    rows = [candle(n) for n in range(count)]
    assert fingerprint(rows) == fingerprint(rows, tuple(min(cut, count) for cut in cuts))


def test_every_cell_and_the_order_of_rows_change_the_fingerprint() -> None:
    rows = [candle(0), candle(1), candle(2)]
    seen = {fingerprint(rows), fingerprint(rows[:2]), fingerprint([rows[1], rows[0], rows[2]])}
    for column in range(6):
        changed = list(rows[1])
        changed[column] = rows[1][0] + 1 if column == 0 else "10.1"
        seen.add(fingerprint([rows[0], tuple(changed), rows[2]]))  # type: ignore[list-item]
    assert len(seen) == 9


def test_the_fingerprint_is_as_documented() -> None:
    rows = [candle(0), candle(1)]
    assert fingerprint(rows) == documented_fingerprint([[str(cell) for cell in row] for row in rows])


def test_the_allowed_rules_are_part_of_the_fingerprint() -> None:
    fingerprint_of_one = Fingerprint(INSTRUMENT.bar_type)
    fingerprint_of_one.update(batch([candle(0)]))
    assert (
        len(
            {
                fingerprint_of_one.digest(),
                fingerprint_of_one.digest(["gap"]),
                fingerprint_of_one.digest(["gap", "off_grid"]),
            }
        )
        == 3
    )
    assert fingerprint_of_one.digest(["off_grid", "gap"]) == fingerprint_of_one.digest(["gap", "off_grid"])
