"""All formats of candle files give the same dataset; broken files are refused with file and line."""

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from tests.drivers.tc import Tc, candle_lines
from tests.oracles.documented_fingerprint import documented_fingerprint

REAL = Path(__file__).parents[3] / "shared" / "data" / "btcusdt" / "btcusdt-usdm-1m-2025-05.csv"

BINANCE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def scaled(lines: list[str], factor: float) -> list[str]:
    def line(text: str) -> str:
        time, rest = text.split(",", 1)
        return f"{int(int(time) * factor)},{rest}"

    return [lines[0], *map(line, lines[1:])]


def binance(lines: list[str], header: bool) -> list[str]:
    body = [f"{line},{int(line.split(',')[0]) + 59_999},63000.15,12,0.7,29400.07,0" for line in lines[1:]]
    return [BINANCE_HEADER, *body] if header else body


def plain(path: Path, lines: list[str], newline: str = "\n") -> list[Path]:
    file = path / "candles.csv"
    file.write_bytes((newline.join(lines) + newline).encode())
    return [file]


def gzipped(path: Path, lines: list[str]) -> list[Path]:
    file = path / "candles.csv.gz"
    file.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return [file]


def zipped(path: Path, lines: list[str]) -> list[Path]:
    file = path / "BTCUSDT-1m-2024-01.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("BTCUSDT-1m-2024-01.csv", "\n".join(lines) + "\n")
    return [file]


def halves_in_any_order(path: Path, lines: list[str]) -> list[Path]:
    middle = len(lines) // 2
    late, early = path / "a.csv", path / "b.csv"
    early.write_text("\n".join(lines[:middle]) + "\n")
    late.write_text("\n".join([lines[0], *lines[middle:]]) + "\n")
    return [late, early]


KINDS: dict[str, Callable[[Path, list[str]], list[Path]]] = {
    "six columns": plain,
    "six columns without header": lambda path, lines: plain(path, lines[1:]),
    "binance usd-m, with header": lambda path, lines: plain(path, binance(lines, header=True)),
    "binance spot, without header": lambda path, lines: plain(path, binance(lines, header=False)),
    "seconds": lambda path, lines: plain(path, scaled(lines, 0.001)),
    "microseconds": lambda path, lines: plain(path, scaled(lines, 1000)),
    "gzip": gzipped,
    "zip": zipped,
    "windows lines": lambda path, lines: plain(path, lines, "\r\n"),
    "byte order mark": lambda path, lines: plain(path, ["\ufeff" + lines[0], *lines[1:]]),
    "quoted": lambda path, lines: plain(path, ['"' + line.replace(",", '","') + '"' for line in lines]),
    "more decimals, same numbers": lambda path, lines: plain(
        path, [line.replace("42000.1", "42000.1000") for line in lines]
    ),
    "columns in another order": lambda path, lines: plain(path, [",".join(line.split(",")[::-1]) for line in lines]),
    "two files": halves_in_any_order,
    "no newline at the end": lambda path, lines: [cut_end(plain(path, lines)[0])],
}


def cut_end(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-1])
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_all_formats_give_the_same_candles(bare_tc: Tc, tmp_path: Path, kind: str) -> None:
    files = KINDS[kind](tmp_path, candle_lines(50))
    record = bare_tc.json("data", "import", *map(str, files), "--dataset", "d")
    assert record["rows"] == 50
    assert (record["first_open"], record["last_open"]) == ("2024-01-01T00:00:00Z", "2024-01-01T00:49:00Z")
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in candle_lines(50)[1:]])
    assert bare_tc.ok("data", "fingerprint", "--dataset", "d").out.strip() == record["fingerprint"]


GOOD = candle_lines(6)
NOTHING_ELSE = ("dropped_identical", "rounded_prices", "rounded_volumes")
CORPUS = Path(__file__).parents[1] / "candles"
EXPECTED = json.loads((CORPUS / "expected.json").read_text())


def test_the_corpus_and_its_expectations_name_the_same_files() -> None:
    assert {path.name for path in (CORPUS / "bad").iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_bad_file_is_refused_with_rule_and_line(bare_tc: Tc, name: str) -> None:
    expected = EXPECTED[name]
    answer = bare_tc("data", "import", str(CORPUS / "bad" / name), "--dataset", "d", "--json")
    assert answer.code == 1, answer.err
    assert answer.err.startswith("tc: error: ")
    assert not any(bare_tc.home.glob("data/datasets/*"))
    error = answer.document["error"]
    findings = [(finding["file"], finding["line"], finding["rule"]) for finding in error["findings"]]
    if "rule" in expected:
        rules = {rule for _, _, rule in findings}
        assert expected["rule"] in rules, findings
        assert "line" not in expected or (name, expected["line"], expected["rule"]) in findings
        assert f"{name}:{expected.get('line', '')}" in answer.err
    assert expected.get("says", "") in error["message"]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_check_of_a_bad_file_has_the_same_findings_and_writes_nothing(bare_tc: Tc, name: str) -> None:
    expected = EXPECTED[name]
    answer = bare_tc("data", "check", str(CORPUS / "bad" / name), "--json")
    assert answer.code == 1, answer.err
    if "rule" in expected:
        findings = [(finding["line"], finding["rule"]) for finding in answer.document["findings"]]
        assert expected["rule"] in {rule for _, rule in findings}
        assert "line" not in expected or (expected["line"], expected["rule"]) in findings
    assert not any(bare_tc.home.iterdir())


def test_a_check_reports_the_findings_of_all_files_at_once(bare_tc: Tc) -> None:
    names = ["gap.csv", "negative-volume.csv", "text-in-a-number.csv", "duplicate.parquet"]
    report = bare_tc("data", "check", *(str(CORPUS / "bad" / name) for name in names), "--json").document
    rules = {(finding["file"], finding["rule"]) for finding in report["findings"]}
    assert {
        ("gap.csv", "gap"),
        ("negative-volume.csv", "negative_volume"),
        ("text-in-a-number.csv", "unreadable"),
    } <= rules
    assert ("duplicate.parquet", "duplicate_identical") in rules


def test_a_check_continues_after_lines_that_are_no_candles(bare_tc: Tc, tmp_path: Path) -> None:
    lines = candle_lines(100)
    lines[4] = "https://example.invalid"
    lines[50] += ",7"
    bad = [*lines[:30], lines[29], *lines[30:70], *lines[75:]]
    (file,) = plain(tmp_path, bad)
    report = bare_tc("data", "check", str(file), "--json").document
    findings = {(finding["line"], finding["rule"]) for finding in report["findings"]}
    assert {(5, "unreadable"), (52, "unreadable"), (31, "duplicate_identical"), (72, "gap")} <= findings
    assert report["counts"]["unreadable"] == 2
    assert report["rows"] == len(bad) - 3


def test_every_malformed_line_is_counted(bare_tc: Tc, tmp_path: Path) -> None:
    (file,) = plain(tmp_path, [*candle_lines(3), *["x,1"] * 50])
    report = bare_tc("data", "check", str(file), "--json").document
    assert (report["counts"]["unreadable"], len(report["findings"])) == (50, 20)


def test_warnings_do_not_make_a_check_fail(bare_tc: Tc, tmp_path: Path) -> None:
    quiet = [line.replace(",1.5", ",0") if n > 1 else line for n, line in enumerate(candle_lines(30))]
    (file,) = plain(tmp_path, quiet)
    answer = bare_tc("data", "check", str(file), "--json")
    assert answer.code == 0
    assert answer.document["counts"] == {"zero_volume": 1}
    assert answer.document["findings"][0]["severity"] == "warning"


def test_a_prepared_dataset_can_be_checked(tc: Tc) -> None:
    report = tc.json("data", "check", "--dataset", "btcusdt-sample")
    assert (report["rows"], report["valid"], report["counts"]) == (10_080, True, {})


def test_a_check_needs_either_files_or_a_dataset(bare_tc: Tc) -> None:
    assert bare_tc("data", "check").code == 2
    assert bare_tc("data", "check", "x.csv", "--dataset", "d").code == 2
    assert bare_tc("data", "check", "nothing.csv").code == 5


# --- rules allowed, and repairs requested, by name -----------------------------------------------------------------


def test_a_rule_is_allowed_by_name_and_recorded_with_dataset_and_run(bare_tc: Tc) -> None:
    gap = str(CORPUS / "bad" / "gap.csv")
    record = bare_tc.json("data", "import", gap, "--dataset", "holes", "--allow", "gap")
    assert (record["allowed"], record["findings"]) == (["gap"], {"gap": 1})
    assert bare_tc.ok("data", "fingerprint", "--dataset", "holes").out.strip() == record["fingerprint"]
    run = bare_tc.json("run", "backtest", "--spec", bare_tc.spec(dataset="holes"), "--run-id", "r1")
    assert run["dataset"]["allowed"] == ["gap"]
    assert "gap" in bare_tc.ok("run", "show", "r1").out
    assert "allowed" in (bare_tc.run_folder("r1") / "report.md").read_text()


def test_an_allowed_rule_without_a_finding_changes_nothing(bare_tc: Tc, tmp_path: Path) -> None:
    (file,) = plain(tmp_path, GOOD)
    without = bare_tc.json("data", "import", str(file), "--dataset", "a")
    with_rule = bare_tc.json("data", "import", str(file), "--dataset", "b", "--allow", "gap")
    assert without["fingerprint"] == with_rule["fingerprint"]
    assert with_rule["allowed"] == []


def test_allowed_rules_are_part_of_the_fingerprint(bare_tc: Tc) -> None:
    record = bare_tc.json("data", "import", str(CORPUS / "bad" / "gap.csv"), "--dataset", "a", "--allow", "gap")
    lines = (CORPUS / "bad" / "gap.csv").read_text().splitlines()[1:]
    assert record["fingerprint"] != documented_fingerprint([line.split(",") for line in lines])
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in lines], ["gap"])


@pytest.mark.parametrize("rule", ["disorder", "unreadable", "negative_volume", "too_precise", "jump", "gaps", ""])
def test_a_rule_that_cannot_be_allowed_is_a_usage_error(bare_tc: Tc, rule: str) -> None:
    assert bare_tc("data", "import", str(CORPUS / "bad" / "gap.csv"), "--dataset", "d", f"--allow={rule}").code == 2


def test_a_finding_of_another_rule_than_the_allowed_one_is_refused(bare_tc: Tc, tmp_path: Path) -> None:
    (file,) = plain(tmp_path, [*GOOD[:3], *GOOD[4:], GOOD[-1]])
    answer = bare_tc("data", "import", str(file), "--dataset", "d", "--allow", "gap", "--json")
    assert answer.code == 1
    assert answer.document["error"]["counts"] == {"duplicate_identical": 1}


def test_sorting_is_done_on_request_and_recorded(bare_tc: Tc, tmp_path: Path) -> None:
    (file,) = plain(tmp_path, [GOOD[0], *GOOD[:0:-1]])
    assert bare_tc("data", "import", str(file), "--dataset", "d").code == 1
    record = bare_tc.json("data", "import", str(file), "--dataset", "d", "--sort")
    assert record["repairs"] == {"sorted": True, **dict.fromkeys(NOTHING_ELSE, 0)}
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in GOOD[1:]])


def test_only_identical_duplicates_are_dropped_on_request(bare_tc: Tc, tmp_path: Path) -> None:
    (file,) = plain(tmp_path, [*GOOD[:3], GOOD[2], GOOD[2], *GOOD[3:]])
    record = bare_tc.json("data", "import", str(file), "--dataset", "d", "--drop-identical-duplicates")
    assert record["repairs"]["dropped_identical"] == 2
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in GOOD[1:]])
    disagreeing = str(CORPUS / "bad" / "duplicate-disagreeing.csv")
    assert bare_tc("data", "import", disagreeing, "--dataset", "e", "--drop-identical-duplicates").code == 1


def overlapping(path: Path, *, disagree: bool = False) -> list[str]:
    """Two files that share ten minutes of thirty."""
    lines = candle_lines(30)
    late = [lines[0], *lines[11:]]
    if disagree:
        late[3] = late[3].replace(",1.5", ",9.9")
    (path / "early.csv").write_text("\n".join(lines[:21]) + "\n")
    (path / "late.csv").write_text("\n".join(late) + "\n")
    return [str(path / "late.csv"), str(path / "early.csv")]


def test_overlapping_files_are_named(bare_tc: Tc, tmp_path: Path) -> None:
    files = overlapping(tmp_path)
    answer = bare_tc("data", "import", *files, "--dataset", "d", "--json")
    (finding,) = answer.document["error"]["findings"]
    assert (finding["rule"], finding["file"], finding["line"]) == ("overlap", "late.csv", 2)
    assert "early.csv" in finding["detail"]
    sort = bare_tc("data", "import", *files, "--dataset", "d", "--sort", "--json")
    assert sort.document["error"]["counts"] == {"duplicate_identical": 10}
    record = bare_tc.json("data", "import", *files, "--dataset", "d", "--sort", "--drop-identical-duplicates")
    assert (record["rows"], record["repairs"]["dropped_identical"]) == (30, 10)


def test_overlapping_files_that_disagree_are_refused_with_the_line(bare_tc: Tc, tmp_path: Path) -> None:
    files = overlapping(tmp_path, disagree=True)
    repaired = ("--sort", "--drop-identical-duplicates", "--json")
    answer = bare_tc("data", "import", *files, "--dataset", "d", *repaired)
    (finding,) = answer.document["error"]["findings"]
    assert (finding["rule"], finding["file"], finding["line"]) == ("duplicate_disagreeing", "late.csv", 4)


# --- other sources -------------------------------------------------------------------------------------------------


def table(lines: list[str], numbers: str) -> pa.Table:
    names, *rows = [line.split(",") for line in lines]
    columns: dict[str, Any] = {"open_time": pa.array([int(row[0]) for row in rows])}
    for column, name in enumerate(names[1:], 1):
        text = pa.array([row[column] for row in rows])
        kinds = {"float": pa.float64(), "decimal": pa.decimal128(20, 4), "text": pa.string()}
        columns[name] = text.cast(kinds[numbers])
    return pa.table(columns)


@pytest.mark.parametrize("numbers", ["float", "decimal", "text"])
@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_columnar_files_give_the_same_candles(bare_tc: Tc, tmp_path: Path, suffix: str, numbers: str) -> None:
    lines = candle_lines(50)
    candles = table(lines, numbers)
    path = tmp_path / f"c.{suffix}"
    if suffix == "parquet":
        pq.write_table(candles, path)
    else:
        feather.write_feather(candles, str(path))
    record = bare_tc.json("data", "import", str(path), "--dataset", "d")
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in lines[1:]])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_in_columnar_files_are_converted(bare_tc: Tc, tmp_path: Path, unit: str) -> None:
    lines = candle_lines(50)
    candles = table(lines, "decimal")
    times = candles["open_time"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.timestamp(unit, tz="UTC"))
    pq.write_table(candles.set_column(0, "open_time", times), tmp_path / "c.parquet")
    record = bare_tc.json("data", "import", str(tmp_path / "c.parquet"), "--dataset", "d")
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in lines[1:]])


def test_columns_are_mapped_by_option(bare_tc: Tc, tmp_path: Path) -> None:
    lines = candle_lines(20)
    (file,) = plain(tmp_path, ["Date,Open,High,Low,Close,Vol", *lines[1:]])
    assert bare_tc("data", "import", str(file), "--dataset", "d").code == 1
    mapped = ("--column", "open_time=Date", "--column", "volume=Vol")
    record = bare_tc.json("data", "import", str(file), "--dataset", "d", *mapped)
    assert record["columns"] == {"open_time": "Date", "volume": "Vol"}
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in lines[1:]])


@pytest.mark.parametrize("option", ["open_time", "time=Date", "open_time=", "=x", "open_time=a --column open_time=b"])
def test_an_invalid_mapping_is_a_usage_error(bare_tc: Tc, option: str) -> None:
    options = f"--column {option}".split()
    assert bare_tc("data", "import", str(CORPUS / "bad/gap.csv"), "--dataset", "d", *options).code == 2


@pytest.mark.parametrize("offset_ms", [60_000, 59_999])
def test_timestamps_at_the_close_are_shifted_to_the_open(bare_tc: Tc, tmp_path: Path, offset_ms: int) -> None:
    lines = candle_lines(20)
    closing = [f"{int(line.split(',')[0]) + offset_ms},{line.split(',', 1)[1]}" for line in lines[1:]]
    (file,) = plain(tmp_path, [lines[0], *closing])
    record = bare_tc.json("data", "import", str(file), "--dataset", "d", "--timestamp", "close")
    assert (record["label"], record["first_open"]) == ("close", "2024-01-01T00:00:00Z")
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in lines[1:]])
    assert bare_tc("data", "import", str(file), "--dataset", "e", "--timestamp", "middle").code == 2


def test_folders_are_read_completely_in_any_order(bare_tc: Tc, tmp_path: Path) -> None:
    lines = candle_lines(60)
    folder = tmp_path / "candles"
    (folder / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    parts = {"z.csv": lines[1:21], "deep/a.csv": lines[41:], "m.csv": lines[21:41]}
    for name, part in parts.items():
        (folder / name).write_text("\n".join([lines[0], *part]) + "\n")
    (folder / "README.txt").write_text("not candles")
    (folder / ".hidden" / "x.csv").write_text("not candles")
    record = bare_tc.json("data", "import", str(folder), "--dataset", "d")
    assert [source["name"] for source in record["sources"]] == ["z.csv", "m.csv", "a.csv"]
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in lines[1:]])
    assert bare_tc("data", "import", str(tmp_path / "nothing"), "--dataset", "e").code == 5
    (tmp_path / "empty").mkdir()
    assert bare_tc("data", "import", str(tmp_path / "empty"), "--dataset", "e").code == 1


def test_files_with_the_same_name_are_distinguished_by_folder(bare_tc: Tc, tmp_path: Path) -> None:
    lines = candle_lines(20)
    for folder, part in (("a", lines[:11]), ("b", [lines[0], *lines[12:]])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "c.csv").write_text("\n".join(part) + "\n")
    answer = bare_tc("data", "import", str(tmp_path), "--dataset", "d", "--json")
    (finding,) = answer.document["error"]["findings"]
    assert (finding["file"], finding["rule"]) == ("b/c.csv", "gap")


# --- facts about the venue's public files --------------------------------------------------------------------------


def test_an_outage_of_the_venue_is_reported_by_its_rules(bare_tc: Tc, tmp_path: Path) -> None:
    """Flat candles without volume, one cut short, then minutes that do not exist."""
    lines = binance(candle_lines(60), header=True)
    flat = [line.replace(",1.5,", ",0,", 1) for line in lines[20:40]]
    cut = lines[40].split(",")
    cut[6] = str(int(cut[0]) + 23_456)
    (file,) = plain(tmp_path, [*lines[:20], *flat, ",".join(cut), *lines[52:]])
    report = bare_tc("data", "check", str(file), "--json").document
    assert report["counts"] == {"zero_volume": 1, "truncated": 1, "gap": 1}
    record = bare_tc.json("data", "import", str(file), "--dataset", "d", "--allow", "gap", "--allow", "truncated")
    assert record["allowed"] == ["gap", "truncated"]


def test_spot_files_changed_from_milliseconds_to_microseconds(bare_tc: Tc, tmp_path: Path) -> None:
    lines = candle_lines(40)
    old, new = [lines[0], *lines[1:21]], [lines[0], *lines[21:]]
    (tmp_path / "2024-12.csv").write_text("\n".join(binance(old, header=False)) + "\n")
    wide = [
        ",".join([cell + "000" if column in (0,) else cell for column, cell in enumerate(line.split(","))])
        for line in binance(new, header=False)
    ]
    wide = [
        ",".join([*cells[:6], str(int(cells[0]) + 59_999_999), *cells[7:]])
        for cells in (line.split(",") for line in wide)
    ]
    (tmp_path / "2025-01.csv").write_text("\n".join(wide) + "\n")
    record = bare_tc.json("data", "import", str(tmp_path), "--dataset", "d")
    assert [source["time_unit"] for source in record["sources"]] == ["ms", "us"]
    assert record["findings"] == {}
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in lines[1:]])


def test_seconds_and_milliseconds_row_by_row_can_be_allowed(bare_tc: Tc, tmp_path: Path) -> None:
    lines = candle_lines(30)
    mixed = [line if row % 3 else line.replace("000,", ",", 1) for row, line in enumerate(lines[1:])]
    (file,) = plain(tmp_path, [lines[0], *mixed[::-1]])
    report = bare_tc("data", "check", str(file), "--json").document
    assert report["counts"]["mixed_time_unit"] in (10, 20)
    record = bare_tc.json("data", "import", str(file), "--dataset", "d", "--sort", "--allow", "mixed_time_unit")
    assert (record["rows"], record["allowed"]) == (30, ["mixed_time_unit"])


# --- other things --------------------------------------------------------------------------------------------------


def test_integers_are_valid_prices(bare_tc: Tc, tmp_path: Path) -> None:
    (file,) = plain(tmp_path, [line.replace("42000.1", "42000").replace("1.5", "2") for line in GOOD])
    assert bare_tc.json("data", "import", str(file), "--dataset", "d")["rows"] == 6


def test_a_dataset_is_never_overwritten(bare_tc: Tc, tmp_path: Path) -> None:
    (file,) = plain(tmp_path, GOOD)
    first = bare_tc.json("data", "import", str(file), "--dataset", "d")
    plain(tmp_path, candle_lines(9))
    assert bare_tc("data", "import", str(file), "--dataset", "d").code == 5
    assert bare_tc.ok("data", "fingerprint", "--dataset", "d").out.strip() == first["fingerprint"]


def test_a_missing_file_is_not_found(bare_tc: Tc) -> None:
    assert bare_tc("data", "import", "nothing.csv", "--dataset", "d").code == 5


def test_the_record_names_sources_without_their_folders(bare_tc: Tc, tmp_path: Path) -> None:
    (file,) = plain(tmp_path, GOOD)
    bare_tc.ok("data", "import", str(file), "--dataset", "d")
    text = (bare_tc.home / "data/datasets/d/dataset.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["sources"][0]["name"] == "candles.csv"


@pytest.mark.skipif(not REAL.exists(), reason="the real candles are not on this machine")
def test_real_candles_are_valid_and_imported_completely(bare_tc: Tc) -> None:
    assert bare_tc.json("data", "check", str(REAL))["counts"] == {}
    record = bare_tc.json("data", "import", str(REAL), "--dataset", "may")
    assert (record["rows"], record["first_open"]) == (43_199, "2025-05-04T15:33:00Z")


SPOT = [
    "1704067200000000,42000.12,42000.57,41999.03,42000.05,1.50001,1704067259999999,63000.15,12,0.7,29400.07,0",
    "1704067260000000,42000.10,42000.50,41999.00,42000.00,1.50000,1704067319999999,63000.15,12,0.7,29400.07,0",
    "1704067320000000,42000.15,42000.25,42000.15,42000.25,0.00049,1704067379999999,63000.15,12,0.7,29400.07,0",
]


def test_spot_candles_are_taken_rounded_and_recorded_as_spot(bare_tc: Tc, tmp_path: Path) -> None:
    file = tmp_path / "BTCUSDT-1m-2024-01-01.csv"
    file.write_text("\n".join(SPOT) + "\n")
    refused = bare_tc("data", "import", str(file), "--dataset", "s", "--json")
    assert refused.code == 1
    assert set(refused.document["error"]["counts"]) == {"off_tick", "too_precise"}
    record = bare_tc.json("data", "import", str(file), "--dataset", "s", "--round")
    assert record["market"] == "spot"
    assert record["findings"] == {"spot": 1}
    assert record["allowed"] == []
    assert record["repairs"] == {"sorted": False, "dropped_identical": 0, "rounded_prices": 2, "rounded_volumes": 2}
    # half to even: 42000.15 becomes 42000.2 and 42000.25 becomes 42000.2
    rows = [
        ["1704067200000", "42000.1", "42000.6", "41999.0", "42000.0", "1.5"],
        ["1704067260000", "42000.1", "42000.5", "41999.0", "42000.0", "1.5"],
        ["1704067320000", "42000.2", "42000.2", "42000.2", "42000.2", "0"],
    ]
    assert record["fingerprint"] == documented_fingerprint(rows)


def test_prices_off_the_tick_can_be_allowed_and_are_part_of_the_fingerprint(bare_tc: Tc, tmp_path: Path) -> None:
    file = tmp_path / "candles.csv"
    file.write_text("\n".join(candle_lines(3, price="42000.15")) + "\n")
    allowed = bare_tc.json("data", "import", str(file), "--dataset", "a", "--allow", "off_tick")
    assert (allowed["allowed"], allowed["findings"]) == (["off_tick"], {"off_tick": 3})
    rounded = bare_tc.json("data", "import", str(file), "--dataset", "r", "--round")
    assert (rounded["allowed"], rounded["findings"], rounded["market"]) == ([], {}, None)
    assert rounded["fingerprint"] != allowed["fingerprint"]
    assert rounded["fingerprint"] == documented_fingerprint(
        [line.split(",") for line in candle_lines(3, price="42000.2")[1:]]
    )


@pytest.mark.parametrize("rule", ["wrong_interval", "wrong_instrument"])
def test_candles_of_another_series_cannot_be_allowed(bare_tc: Tc, rule: str) -> None:
    file = CORPUS / "bad" / ("five-minutes-by-step.csv" if rule == "wrong_interval" else "ETHUSDT-1m-2024-01.csv")
    assert bare_tc("data", "import", str(file), "--dataset", "d", "--allow", rule).code == 2
    assert bare_tc("data", "import", str(file), "--dataset", "d", "--allow", "gap", "--allow", "truncated").code == 1
    assert not any(bare_tc.home.glob("data/datasets/*"))
