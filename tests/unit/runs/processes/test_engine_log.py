"""The log of engine and strategy: what is stored of it, and what is counted of all of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opslab.model.messages.engine_messages import LogLevelName
from opslab.model.primitives.redact import PathRedactor
from opslab.model.run.engine_log import LogFacts
from opslab.runs.processes import engine_log
from opslab.runs.processes.engine_log import MAX_KINDS, EngineLogCounter, count_stored
from opslab.store.logs import KEPT_BYTES, BoundedLog

AT = "2024-01-01T00:00:59.999000000Z"
LATER = "2024-01-01T00:01:59.999000000Z"
PRICE = "price_precision=2 price_increment=0.10"


def line(level: str, message: str, component: str = "LAB-001", at: str = AT) -> bytes:
    return f"{at} [{level}] OPSLAB-001.{component}: {message}\n".encode()


def skipped(client_order_id: str, price: str = "42003.95") -> bytes:
    text = f"Skipping fill for {client_order_id}: fill price {price} is not compatible with X {PRICE}"
    return line("WARN", text, "nautilus_execution::matching_engine")


ALL = b"".join(line(level, f"a {level}") for level in ("DEBUG", "INFO", "WARN", "ERROR"))


def facts(*data: bytes, level: LogLevelName = "debug", redact: Callable[[str], str] = str) -> LogFacts:
    counter = EngineLogCounter(level, "engine.log")
    for part in data:
        counter.write(part)
    counter.end()
    return counter.facts(redact)


@pytest.mark.parametrize(("level", "stored"), [("off", []), ("error", ["ERROR"]), ("warning", ["WARN", "ERROR"])])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_level_decides_what_is_stored_and_not_what_is_counted(
    level: LogLevelName, stored: list[str], size: int
) -> None:
    written = b"".join(line(name, f"a {name}") for name in ("WARN", "ERROR"))  # as the engine writes at these levels
    written += b"printed\n" + line("ERROR", "the last one")[:-1]
    counter = EngineLogCounter(level, "engine.log")
    parts = [counter.write(written[start : start + size]) for start in range(0, len(written), size)]
    kept = b"".join([*parts, counter.end()])
    expected = b"".join(line(name, f"a {name}") for name in stored) + b"printed\n"
    assert kept == expected + (line("ERROR", "the last one")[:-1] if "ERROR" in stored else b"")
    assert counter.facts(str).lines == {"ERROR": 2, "WARN": 1}


def test_lines_are_counted_by_level_and_other_output_is_not() -> None:
    found = facts(ALL, b"printed\n", b"2024 [INFO] no line of the log\n", line("INFO", "cut")[:-1])
    assert found.lines == {"ERROR": 1, "WARN": 1, "INFO": 2, "DEBUG": 1}
    assert list(found.lines) == ["ERROR", "WARN", "INFO", "DEBUG"]


def test_warnings_that_differ_only_in_values_are_one_kind_and_lower_levels_one_for_each_source() -> None:
    found = facts(
        line("WARN", "order O-1 at 100.10 is late"),
        line("WARN", "order O-2 at 99.9 is late", at=LATER),
        line("WARN", "another"),
        line("INFO", "a"),
        line("INFO", "b"),
        line("INFO", "c", "nautilus_risk::engine"),
    )
    assert [(kind.level, kind.component, kind.message, kind.count) for kind in found.kinds] == [
        ("WARN", "LAB-001", "order # at # is late", 2),
        ("WARN", "LAB-001", "another", 1),
        ("INFO", "LAB-001", None, 2),
        ("INFO", "nautilus_risk::engine", None, 1),
    ]
    assert (found.kinds[0].file, found.kinds[0].first, found.kinds[0].last) == ("logs/engine.log", AT, LATER)


def test_the_number_of_kinds_is_bounded_for_each_level_and_no_line_is_lost_from_the_counts() -> None:
    many = [line("WARN", "x" * length) for length in range(1, 100)]
    found = facts(*many, line("ERROR", "after them"))
    assert len(found.kinds) == MAX_KINDS + 1
    assert found.kinds[0].message == "after them"
    assert found.lines == {"ERROR": 1, "WARN": 99}


def test_paths_secrets_and_control_characters_do_not_reach_the_kinds() -> None:
    redact = PathRedactor({"/lab/home": "<home>"}, ("lab", "etc"))
    found = facts(line("ERROR", "no /lab/home/x, /etc/ssl/key: \x1b[31mtoken A9f3C2e1B7d8A9f3C2e1B7d8"), redact=redact)
    assert found.kinds[0].message == "no <home>/x, .../key:  [# #"
    assert not any(text in str(found.kinds[0]) for text in ("/lab", "/etc", "\x1b", "A9f3C2"))


def test_an_order_with_skipped_fills_is_counted_once_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    log = [skipped("O-1"), skipped("O-2"), skipped("O-1", "42010.05"), line("WARN", "Skipping fill for O-3: no")]
    found = facts(*log)
    assert found.orders_skipped == {
        "fill price # is not compatible with X price_precision=# price_increment=#": 2,
    }
    assert found.first_order_skipped == "O-1"
    monkeypatch.setattr(engine_log, "MAX_ORDERS", 1)
    assert sum(facts(*log).orders_skipped.values()) == 2


def test_a_line_without_an_end_is_bounded() -> None:
    counter = EngineLogCounter("off", "engine.log")
    size = 1 << 20
    stored = sum(len(counter.write(b"x" * size)) for _ in range(3)) + len(counter.end())
    assert stored + (counter.omitted_bytes or 0) == 3 * size
    assert stored < size


def test_the_logs_of_a_dead_run_are_counted_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "engine.log").write_bytes(ALL)
    (tmp_path / "engine-2.log").write_bytes(line("WARN", "a WARN", at=LATER))
    (tmp_path / "venue.log").write_bytes(ALL)
    found = count_stored(tmp_path, "warning", str)
    assert found.lines == {"ERROR": 1, "WARN": 2, "INFO": 1, "DEBUG": 1}
    assert [(kind.file, kind.first, kind.last) for kind in found.kinds if kind.level == "WARN"] == [
        ("logs/engine.log", AT, LATER)
    ]
    assert found.omitted_bytes == 0


@pytest.mark.parametrize("closed", [True, False])
def test_the_omitted_bytes_of_a_stored_log_are_known_unless_its_writer_died(tmp_path: Path, closed: bool) -> None:
    log = BoundedLog(tmp_path / "engine.log")
    for _ in range(3 * KEPT_BYTES // (1 << 20)):
        log.write(b"x" * (1 << 20))
    if closed:
        log.close()
    assert count_stored(tmp_path, "warning", str).omitted_bytes == (KEPT_BYTES if closed else None)


def test_long_messages_are_one_kind_though_their_values_have_different_lengths() -> None:
    lines = [line("WARN", f"order {number} " * 8 + "was rejected " * 20) for number in ("O-1", "O-20240101-000001")]
    (kind,) = facts(*lines).kinds
    assert (kind.count, len(kind.message or "")) == (2, 300)
