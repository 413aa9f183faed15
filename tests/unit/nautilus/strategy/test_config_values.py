"""Values of a strategy's config: exact on their way, checked where they arrive; and the files a strategy is made of."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.model import BarType, InstrumentId, Price, Quantity, StrategyId
from nautilus_trader.trading import StrategyConfig

from opslab.model.primitives.exact_json import exact_json, from_exact_json
from opslab.nautilus.strategy.config_values import BASE_KEYS, converted, fit, keys_of
from opslab.runs.planning import strategy_files as collect_strategy_files
from opslab.runs.planning.identity import code_parts
from opslab.runs.planning.strategy_files import TooMuch
from opslab.store.logs import BoundedLog

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | DECIMALS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_exact_json_gives_back_what_it_was_given(value: Any) -> None:
    text = exact_json(value)
    assert from_exact_json(text) == value
    assert exact_json(from_exact_json(text)) == text


def test_exact_json_keeps_zeros_and_tells_numbers_from_text() -> None:
    texts = {exact_json(value) for value in (Decimal("0.10"), Decimal("0.1"), "0.1", 0, False, Decimal("0.0"))}
    assert texts == {"0.10", "0.1", '"0.1"', "0", "false", "0.0"}


@pytest.mark.parametrize(
    ("kind", "value", "becomes"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (float, Decimal("0.5"), 0.5),
        (Decimal, 3, Decimal(3)),
        (Decimal, "0.10", Decimal("0.10")),
        (str, "x", "x"),
        (bool, True, True),
        (int | None, None, None),
        (list[Decimal], [Decimal("0.10"), 2], [Decimal("0.10"), Decimal(2)]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (Sequence[str], ["a"], ["a"]),
        (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
        (Literal["a", "b"], "a", "a"),
        (Annotated[int, "a note"], 3, 3),
        (Any, Decimal("0.5"), Decimal("0.5")),
        (object, [1], [1]),
        (StrategyId, "A-1", StrategyId("A-1")),
        (list[InstrumentId] | None, ["A.B"], [InstrumentId.from_str("A.B")]),
        (Quantity, Decimal("0.010"), Quantity.from_str("0.010")),
        (Price, 7, Price.from_str("7")),
        ("unreadable", 3, 3),
    ],
    ids=str,
)
def test_values_become_what_is_asked_for(kind: Any, value: Any, becomes: Any) -> None:
    found = fit(kind, value)
    assert (found, type(found), str(found)) == (becomes, type(becomes), str(becomes))


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (int, True, "a whole number"),
        (int, Decimal("3.0"), "a whole number"),
        (int, "3", "a whole number"),
        (float, "0.5", "a number"),
        (float, True, "a number"),
        (Decimal, "1e5", "a number"),
        (Decimal, True, "a number"),
        (str, 3, "in quotes"),
        (bool, 1, "true or false"),
        (int | None, "3", "a whole number"),
        (list[int], ["3"], "list[int]"),
        (Literal["a", "b"], "c", "Literal['a', 'b']"),
        (BarType, "x", "must read as BarType"),
        (BarType, 3, "must be text"),
    ],
    ids=str,
)
def test_values_of_another_kind_are_refused(kind: Any, value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        fit(kind, value)
    assert says in str(refused.value)


class Parent(StrategyConfig):
    def __init__(self, *, slow: int, **base: object) -> None:
        pass


class Child(Parent):
    def __init__(self, fast: int, name: str = "a", **base: object) -> None:
        pass


class Closed(Parent):
    def __init__(self, *, fast: int) -> None:
        pass


def test_keys_behind_a_base_are_known_and_only_ones_own_are_required() -> None:
    keys = keys_of(Child)
    assert keys is not None
    assert list(keys) == ["fast", "name", "slow", *BASE_KEYS]
    assert [key.name for key in keys.values() if key.required] == ["fast"]
    assert keys["strategy_id"].kind is StrategyId


def test_a_class_without_a_base_takes_its_own_keys_only() -> None:
    assert list(keys_of(Closed) or ()) == ["fast"]


def test_all_mistakes_are_found_at_once_and_a_secret_is_not_repeated() -> None:
    secret = "A1b2C3d4E5f6G7h8J9k0L1m2N3"
    _, findings = converted(keys_of(Child), {"fast": secret, "fsat": 1, "name": 3})
    assert [finding.field for finding in findings] == [("config", "fsat"), ("config", "fast"), ("config", "name")]
    assert secret not in "".join(finding.message for finding in findings)


# --- files -----------------------------------------------------------------------------------------------------


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def digests(folder: Path, places: Sequence[Path], left_out: Sequence[Path]) -> str:
    return code_parts(collect_strategy_files.collect_strategy_files(folder, places, left_out)).digest()


def test_what_is_not_a_strategys_source_does_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    put(folder, "a.py", "pack/b.py")
    before = digests(folder, [], [folder / "data"])
    put(folder, ".git/x.py", "__pycache__/x.py", "venv/pyvenv.cfg", "venv/x.py", "data/x.py", "notes.md")
    assert digests(folder, [], [folder / "data"]) == before
    put(folder, "pack/c.py")
    assert digests(folder, [], [folder / "data"]) != before


def test_an_installed_package_counts_whole_and_where_it_is_does_not(tmp_path: Path) -> None:
    folder, one, two = tmp_path / "f", tmp_path / "one" / "pack", tmp_path / "two" / "pack"
    put(folder, "a.py")
    for place in (one, two):
        put(place, "__init__.py", "model.bin")
    found = {digests(folder, [place], []) for place in (one, two)}
    assert len(found) == 1
    assert set(collect_strategy_files.collect_strategy_files(folder, [one], [])) == {
        "a.py",
        "installed:pack/__init__.py",
        "installed:pack/model.bin",
    }
    put(two, "more.bin")
    assert digests(folder, [two], []) not in found


def test_links_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path, "real/pack/a.py", "f/b.py")
    (tmp_path / "f" / "pack").symlink_to(tmp_path / "real" / "pack")
    (tmp_path / "real" / "pack" / "again").symlink_to(tmp_path / "f")
    before = digests(tmp_path / "f", [], [])
    put(tmp_path, "real/pack/c.py")
    assert digests(tmp_path / "f", [], []) != before


def test_too_much_is_refused_and_not_walked_for_ever(tmp_path: Path) -> None:
    put(tmp_path, *(f"d{n}/x.txt" for n in range(5)), "a.py", "b.py", "c.py")
    with pytest.raises(TooMuch, match="more than 2 files"):
        collect_strategy_files.collect_strategy_files(tmp_path, [], [], max_files=2)
    with pytest.raises(TooMuch, match="more than 7 files and folders"):
        collect_strategy_files.collect_strategy_files(tmp_path, [], [], max_looked_at=7)


@pytest.mark.parametrize("size", [0, 5, 10, 15, 20, 21, 5000])
def test_a_log_keeps_its_beginning_and_its_end(tmp_path: Path, size: int) -> None:
    data = bytes(ord("a") + n % 26 for n in range(size))
    log = BoundedLog(tmp_path / "log", kept_bytes=10)
    for start in range(0, size, 3):
        log.write(data[start : start + 3])
    log.close()
    kept = (tmp_path / "log").read_bytes()
    if size <= 20:
        assert kept == data
    else:
        assert kept == data[:10] + f"\n... {size - 20} bytes omitted ...\n".encode() + data[-10:]
