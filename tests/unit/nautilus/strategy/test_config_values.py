"""Conversion of config values to the types of a config class, and its mistakes."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from nautilus_trader.model import BarType, InstrumentId, Price, Quantity, StrategyId
from nautilus_trader.trading import StrategyConfig

from opslab.nautilus.strategy.config_values import BASE_KEYS, config_keys, convert_value, convert_values


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
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
def test_values_are_converted_to_the_type_of_the_class(kind: Any, value: Any, expected: Any) -> None:
    converted = convert_value(kind, value)
    assert (converted, type(converted), str(converted)) == (expected, type(expected), str(expected))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
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
        (BarType, "x", "must be a valid BarType"),
        (BarType, 3, "must be text"),
    ],
    ids=str,
)
def test_values_of_another_type_are_refused(kind: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        convert_value(kind, value)
    assert message in str(refused.value)


class Parent(StrategyConfig):
    def __init__(self, *, slow: int, **base: object) -> None:
        pass


class Child(Parent):
    def __init__(self, fast: int, name: str = "a", **base: object) -> None:
        pass


class Closed(Parent):
    def __init__(self, *, fast: int) -> None:
        pass


def test_keys_of_a_base_are_known_and_only_the_class_s_own_are_required() -> None:
    keys = config_keys(Child)
    assert keys is not None
    assert list(keys) == ["fast", "name", "slow", *BASE_KEYS]
    assert [key.name for key in keys.values() if key.required] == ["fast"]
    assert keys["strategy_id"].kind is StrategyId


def test_a_class_that_passes_nothing_to_its_base_has_its_own_keys_only() -> None:
    assert list(config_keys(Closed) or ()) == ["fast"]


def test_all_mistakes_are_found_at_once_and_a_secret_is_not_repeated() -> None:
    secret = "A1b2C3d4E5f6G7h8J9k0L1m2N3"
    _, findings = convert_values(config_keys(Child), {"fast": secret, "fsat": 1, "name": 3})
    assert [finding.field for finding in findings] == [("config", "fsat"), ("config", "fast"), ("config", "name")]
    assert secret not in "".join(finding.message for finding in findings)
