"""Readiness: names of variables, and whether they are set. Values stay inside one function."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslab.connectivity.readiness import evaluate
from opslab.errors import InvalidSpec
from opslab.model.checks.connectivity import ConnectivityReadiness, CredentialPlaceholders, is_key_like
from opslab.model.journal.check_events import ConnectivityReadinessEvaluated
from opslab.settings import presence
from opslab.specs.load import load_spec, parse_spec

SPECS = Path(__file__).parents[2] / "specs"
AT = "2026-01-31T10:00:00.000000Z"
MINIMAL = """\
spec_version: v1
mode: backtest
engine: nautilus
venue: binance
instrument: BTCUSDT
strategy: {name: ops_smoke_demo}
data: {dataset: btcusdt-sample}
"""


def block(
    required: Iterable[str] = ("A", "B"), optional: Iterable[str] = ("C",), target: str | None = "testnet"
) -> ConnectivityReadiness:
    names = CredentialPlaceholders(required_env=tuple(required), optional_env=tuple(optional))
    return ConnectivityReadiness(enabled=True, target=target, credential_placeholders=names)


def must_not_read(_names: Iterable[str]) -> Mapping[str, bool | None]:
    raise AssertionError("the environment was read")


@pytest.mark.parametrize(
    ("is_set", "state"),
    [
        ({"A": True, "B": True, "C": True}, "configured"),
        ({"A": True, "B": True, "C": False}, "configured"),
        ({"A": True, "B": True, "C": None}, "configured"),
        ({"A": True, "B": False, "C": True}, "missing_credentials"),
        ({"A": None, "B": False, "C": True}, "missing_credentials"),
        ({"A": None, "B": True, "C": True}, "unknown"),
    ],
)
def test_required_names_decide_and_missing_outweighs_unreadable(is_set: dict[str, bool | None], state: str) -> None:
    result = evaluate(block(), lambda _names: is_set, AT)
    words = {True: "set", False: "missing", None: "unreadable"}
    assert result.state == state
    assert {**result.required_env, **result.optional_env} == {name: words[value] for name, value in is_set.items()}


def test_all_names_are_read_once() -> None:
    requests: list[list[str]] = []

    def read_presence(names: Iterable[str]) -> Mapping[str, bool | None]:
        requests.append(list(names))
        return dict.fromkeys(requests[-1], True)

    evaluate(block(), read_presence, AT)
    assert requests == [["A", "B", "C"]]


def test_the_environment_is_not_read_for_a_disabled_or_empty_block() -> None:
    disabled = ConnectivityReadiness(credential_placeholders=block().credential_placeholders)
    assert evaluate(disabled, must_not_read, AT).state == "disabled"
    assert evaluate(ConnectivityReadiness(), must_not_read, AT).state == "disabled"
    assert set(evaluate(disabled, must_not_read, AT).required_env.values()) == {"unchecked"}


@pytest.mark.parametrize(
    ("wrong", "problems"),
    [
        (block(required=()), ("no_required_env",)),
        (block(target=None), ("no_target",)),
        (ConnectivityReadiness(enabled=True), ("no_target", "no_required_env")),
    ],
)
def test_an_enabled_block_with_nothing_to_check_is_a_valid_spec_and_an_invalid_config(
    wrong: ConnectivityReadiness, problems: tuple[str, ...]
) -> None:
    result = evaluate(wrong, must_not_read, AT)
    assert (result.state, result.problems) == ("invalid_config", problems)


@pytest.mark.parametrize("value", ["", " ", "\t\n", "\u00a0", "\u2003\u3000", "\u200b", "\ufeff", "\x01", "\u2028"])
def test_a_value_without_visible_characters_is_missing(value: str) -> None:
    assert presence(["A"], {"A": value}) == {"A": False}


@pytest.mark.parametrize(
    ("value", "is_set"), [("0", True), (" x ", True), ("é", True), ("秘", True), ("x\udcff", None), ("\udc80", None)]
)
def test_a_value_is_set_or_not_text(value: str, is_set: bool | None) -> None:
    assert presence(["A", "B"], {"A": value}) == {"A": is_set, "B": False}


@given(st.text(min_size=1))
def test_only_the_presence_of_a_value_is_returned(value: str) -> None:
    assert presence(["A"], {"A": value})["A"] in (True, False, None)


def test_a_summary_is_flat_and_counts() -> None:
    result = evaluate(block(), lambda _names: {"A": True, "B": False, "C": True}, AT)
    summary = ConnectivityReadinessEvaluated.of(result).payload()
    assert (summary["required"], summary["required_set"], summary["optional_set"]) == (2, 1, 1)
    assert summary["missing"] == "B"
    assert all(isinstance(value, (str, int, type(None))) for value in summary.values())


SPEC_DIGESTS = {
    "everything": "sha256:d8e3cbe19a6e282902ffaa2fcd543203da70790b25b0f9ee0a42a568fa2bd174",
    "minimal": "sha256:b6adf573419806fc5d66b08e514e356f5d2fec2270442592bd7113b32dc8a1c8",
    "own-strategy": "sha256:7e645df61612cc06723670253861c32c409a4c09d2440c150db29cd051f7bf06",
}
"""Digests from before the block existed."""


@pytest.mark.parametrize("name", SPEC_DIGESTS)
def test_digests_from_before_the_block_still_hold(name: str) -> None:
    assert load_spec(SPECS / "good" / f"{name}.yaml").spec.digest() == SPEC_DIGESTS[name]


def test_the_block_is_not_part_of_the_digest() -> None:
    with_block = load_spec(SPECS / "good" / "readiness.yaml").spec
    assert with_block.connectivity_readiness.enabled
    assert with_block.digest() == parse_spec(MINIMAL, "s").spec.digest()


KEYS = [
    "hunter2",
    "A1b2C3d4E5f6G7h8J9k0L1m2N3",
    "AKIAIOSFODNN7EXAMPLE",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "A9F3C2E1B7D8A9F3C2E1B7D8",
]
LOCATIONS = [
    "target: '{}/'",
    "notes: ['{}']",
    "credential_placeholders: {{required_env: '{}'}}",
    "credential_placeholders: {{required_env: ['{}x']}}",
    "credential_placeholders: {{required_env: [A, ['{}']]}}",
    "credential_placeholders: {{required_env: [{{A: '{}'}}]}}",
    "credential_placeholders: {{optional_env: {{A: '{}'}}}}",
    "credential_placeholders: {{required_env: [A], optional_env: [A, '{}x']}}",
    "credential_placeholders: {{A: '{}'}}",
    "credential_placeholders: {{required_env: [A, A], optional_env: {{'{}': A}}}}",
]


@pytest.mark.parametrize("template", LOCATIONS)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_instead_of_a_name_is_refused_and_not_repeated(template: str, key: str) -> None:
    assert_refused_without_the_key(template.format(key), key)


@pytest.mark.parametrize("key", KEYS[1:])
@pytest.mark.parametrize(
    "template",
    [
        "{}: 1",
        "credential_placeholders: {{'{}': A}}",
        "credential_placeholders: {{required_env: ['{}']}}",
        "target: {}",
        "venue: {}",
        "enabled: {}",
        "credential_placeholders: {}",
    ],
)
def test_text_that_looks_like_a_key_is_never_repeated(template: str, key: str) -> None:
    assert_refused_without_the_key(template.format(key), key)


def assert_refused_without_the_key(line: str, key: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(f"{MINIMAL}connectivity_readiness:\n  {line}\n", "s")
    error = caught.value
    assert key not in f"{error.message} {error.hint} {error.details()}"
    assert all(mistake.line for mistake in error.mistakes)


@pytest.mark.parametrize(
    "name",
    [
        "BINANCE_API_KEY",
        "BINANCE_FUTURES_TESTNET_API_SECRET",
        "MY_EXCHANGE_2_API_KEY_V3_PROD",
        "_",
        "A",
        "PASSPHRASE",
        "binance-usdm-testnet-2",
        "risk-desk.eu-1",
    ],
)
def test_usual_names_are_not_taken_for_keys(name: str) -> None:
    assert not is_key_like(name)
