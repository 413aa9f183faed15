"""Every kind of candle file gives the same dataset; every broken one is refused with file and line."""

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.fingerprint import documented_fingerprint
from tests.fakes.tc import Tc, candle_lines

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
def test_every_kind_of_file_gives_the_same_candles(bare_tc: Tc, tmp_path: Path, kind: str) -> None:
    files = KINDS[kind](tmp_path, candle_lines(50))
    record = bare_tc.json("data", "import", *map(str, files), "--dataset", "d")
    assert record["rows"] == 50
    assert (record["first_open"], record["last_open"]) == ("2024-01-01T00:00:00Z", "2024-01-01T00:49:00Z")
    assert record["fingerprint"] == documented_fingerprint([line.split(",") for line in candle_lines(50)[1:]])
    assert bare_tc.ok("data", "fingerprint", "--dataset", "d").out.strip() == record["fingerprint"]


GOOD = candle_lines(6)


def with_line(number: int, text: str) -> list[str]:
    """Six good candles with line `number` (header is 1) replaced."""
    return [*GOOD[: number - 1], text, *GOOD[number:]]


def at(line: int, **cells: str) -> str:
    """A good candle of that line with some cells replaced."""
    names = ("open_time", "open", "high", "low", "close", "volume")
    values = dict(zip(names, GOOD[line - 1].split(","), strict=True)) | cells
    return ",".join(values.values())


BROKEN: dict[str, tuple[list[str], str, int]] = {
    "disorder": (with_line(4, GOOD[1]), "disorder", 4),
    "duplicate": (with_line(4, GOOD[2]), "duplicate", 4),
    "gap": ([*GOOD[:3], *GOOD[4:]], "gap", 4),
    "off the grid": (with_line(4, at(4, open_time="1704067320500")), "off_grid", 4),
    "high under close": (with_line(4, at(4, high="41999")), "not_enclosed", 4),
    "low over open": (with_line(4, at(4, low="42001")), "not_enclosed", 4),
    "price of zero": (with_line(4, at(4, low="0")), "non_positive_price", 4),
    "negative price": (with_line(4, at(4, low="-1")), "non_positive_price", 4),
    "negative volume": (with_line(4, at(4, volume="-1")), "negative_volume", 4),
    "too precise": (with_line(4, at(4, low="41999.999")), "too_precise", 4),
    "seconds among milliseconds": (with_line(4, at(4, open_time="1704067320")), "time_range", 4),
    "text in a number": (with_line(4, at(4, close="n/a")), "unreadable", 4),
    "not a number": (with_line(4, at(4, close="NaN")), "unreadable", 4),
    "infinity": (with_line(4, at(4, close="inf")), "unreadable", 4),
    "empty cell": (with_line(4, at(4, close="")), "unreadable", 4),
    "empty time": (with_line(4, at(4, open_time="")), "unreadable", 4),
    "a column short": (with_line(4, "1704067320000,1,2"), "unreadable", 4),
    "a column long": (with_line(4, GOOD[3] + ",7"), "unreadable", 4),
    "blank line": (with_line(4, ""), "unreadable", 4),
    "cut last line": ([*GOOD[:-1], GOOD[-1][:20]], "unreadable", 7),
    "huge number": (with_line(4, at(4, close="9" * 40)), "unreadable", 4),
    "newest first": ([GOOD[0], *GOOD[:0:-1]], "disorder", 3),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_file_and_line(bare_tc: Tc, tmp_path: Path, name: str) -> None:
    lines, rule, line = BROKEN[name]
    (file,) = plain(tmp_path, lines)
    answer = bare_tc("data", "import", str(file), "--dataset", "d", "--json")
    assert answer.code == 1
    findings = answer.document["error"]["findings"]
    assert ("candles.csv", line, rule) in [(found["file"], found["line"], found["rule"]) for found in findings]
    assert f"candles.csv:{line}:" in answer.err
    assert not any((bare_tc.home / "data" / "datasets").iterdir())


def test_faults_of_several_files_are_named_together(bare_tc: Tc, tmp_path: Path) -> None:
    lines = candle_lines(20)
    (tmp_path / "one.csv").write_text("\n".join(lines[:11]) + "\n")
    (tmp_path / "two.csv").write_text("\n".join([lines[0], *lines[12:]]) + "\n")
    (tmp_path / "three.csv").write_text("\n".join([lines[0], *lines[18:]]) + "\n")
    answer = bare_tc("data", "import", *(str(path) for path in tmp_path.glob("*.csv")), "--dataset", "d", "--json")
    found = {(one["file"], one["line"], one["rule"]) for one in answer.document["error"]["findings"]}
    assert ("two.csv", 2, "gap") in found
    assert any(file == "three.csv" and rule in ("disorder", "duplicate") for file, _, rule in found)


def write_zip(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


TEXT = "\n".join(GOOD) + "\n"
NO_CANDLES: dict[str, Callable[[Path], Path]] = {
    "empty": lambda path: write(path / "a.csv", b""),
    "header only": lambda path: write(path / "a.csv", GOOD[0].encode() + b"\n"),
    "other columns": lambda path: write(path / "a.csv", b"time,price\n1,2\n"),
    "column twice": lambda path: write(path / "a.csv", TEXT.replace("low", "high", 1).encode()),
    "semicolons": lambda path: write(path / "a.csv", TEXT.replace(",", ";").encode()),
    "url above the header": lambda path: write(path / "a.csv", b"https://example.invalid\n" + TEXT.encode()),
    "seven columns": lambda path: write(path / "a.csv", b"1704067200000,1,2,3,4,5,6\n"),
    "year 1900": lambda path: write(path / "a.csv", b"-2208988800000,1,1,1,1,1\n"),
    "year 2500": lambda path: write(path / "a.csv", b"16725225600000,1,1,1,1,1\n"),
    "binary": lambda path: write(path / "a.csv", bytes(range(256))),
    "another suffix": lambda path: write(path / "a.txt", TEXT.encode()),
    "cut gzip": lambda path: write(path / "a.csv.gz", gzip.compress(TEXT.encode() * 50)[:40]),
    "not gzip": lambda path: write(path / "a.csv.gz", TEXT.encode()),
    "not zip": lambda path: write(path / "a.zip", TEXT.encode()),
    "cut zip": lambda path: write(path / "b.zip", write_zip(path / "a.zip", {"a.csv": TEXT}).read_bytes()[:-30]),
    "empty zip": lambda path: write_zip(path / "a.zip", {}),
    "two members": lambda path: write_zip(path / "a.zip", {"a.csv": TEXT, "b.csv": TEXT}),
    "member in a folder": lambda path: write_zip(path / "a.zip", {"../a.csv": TEXT}),
    "zip bomb": lambda path: write_zip(path / "a.zip", {"a.csv": "0" * 5_000_000}),
    "one endless line": lambda path: write(path / "a.csv", b"1" * 1_000_000),
    "folder": lambda path: make_folder(path / "a.csv"),
}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("name", NO_CANDLES)
def test_what_is_no_candle_file_is_refused(bare_tc: Tc, tmp_path: Path, name: str) -> None:
    file = NO_CANDLES[name](tmp_path)
    answer = bare_tc("data", "import", str(file), "--dataset", "d")
    assert answer.code == 1, answer.err
    assert answer.out == ""
    assert answer.err.startswith("tc: error: ")
    assert not any(bare_tc.home.glob("data/datasets/*"))


def test_gzip_cut_in_the_middle_is_refused(bare_tc: Tc, tmp_path: Path) -> None:
    data = gzip.compress(("\n".join(candle_lines(200_000)) + "\n").encode())
    file = write(tmp_path / "a.csv.gz", data[: len(data) // 2])
    answer = bare_tc("data", "import", str(file), "--dataset", "d")
    assert answer.code == 1
    assert not any(bare_tc.home.glob("data/datasets/*"))


def test_integers_are_prices_too(bare_tc: Tc, tmp_path: Path) -> None:
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
def test_real_candles_import_whole(bare_tc: Tc) -> None:
    record = bare_tc.json("data", "import", str(REAL), "--dataset", "may")
    assert (record["rows"], record["first_open"]) == (43_199, "2025-05-04T15:33:00Z")
