"""Load specs: every mistake at once, each with its line; stricter than YAML."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.errors import Environment, InvalidSpec, LabError, NotFound
from opslab.model.spec.run_spec import PaperLimits, PaperSpec, RunSpec
from opslab.specs.load import load_spec, parse_spec
from opslab.specs.schema import spec_schema

SPECS = Path(__file__).parents[2] / "specs"
EXAMPLES = Path(__file__).parents[3] / "examples"
GOOD = sorted([*SPECS.glob("good/*.yaml"), *EXAMPLES.rglob("*.yaml")])
BAD = sorted(SPECS.glob("bad/*.yaml"))
EXPECT = re.compile(r"^# expect: (?P<line>\d+|-) (?P<field>\S+) (?P<message>.+)$", re.MULTILINE)

MINIMAL = """\
spec_version: v1
mode: backtest
engine: nautilus
venue: binance
instrument: BTCUSDT
strategy: {name: ops_smoke_demo}
data: {dataset: btcusdt-sample}
"""


def spec_of(text: str) -> RunSpec:
    return parse_spec(text, "s").spec


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_specs_load_and_satisfy_the_schema(path: Path) -> None:
    spec = load_spec(path).spec
    assert spec.spec_version == "v1"
    jsonschema.validate(yaml.safe_load(path.read_text()), spec_schema())


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_specs_name_every_mistake(path: Path) -> None:
    """A bad spec names its mistakes itself, one in each line: `# expect: LINE FIELD MESSAGE`."""
    expected = [match.groupdict() for match in EXPECT.finditer(path.read_text())]
    assert expected, "a bad spec needs at least one '# expect:' line"
    with pytest.raises(InvalidSpec) as caught:
        load_spec(path)
    mistakes = [(str(mistake.line or "-"), mistake.field or "-", mistake.message) for mistake in caught.value.mistakes]
    assert [(line, field) for line, field, _ in mistakes] == [(each["line"], each["field"]) for each in expected]
    for expectation, (_, _, message) in zip(expected, mistakes, strict=True):
        assert expectation["message"] in message


BEYOND_SCHEMA = {
    "aliases",
    "tags",
    "duplicate-keys",
    "two-documents",
    "not-yaml",
    "tab",
    "key-that-is-a-list",
    "only-a-comment",
    "merge-key",
    "config-without-class",
    "paper-balance",
    "paper-silence-of-the-healthy",
}


@pytest.mark.parametrize("path", [path for path in BAD if path.stem not in BEYOND_SCHEMA], ids=lambda path: path.stem)
def test_an_editor_with_the_schema_marks_bad_specs_too(path: Path) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(path.read_text()), spec_schema())


def test_an_invalid_mode_is_marked_at_its_field() -> None:
    schema = jsonschema.Draft202012Validator(spec_schema())
    errors = schema.iter_errors(yaml.safe_load(MINIMAL.replace("backtest", "live")))
    assert ["mode"] in [list(error.path) for error in errors]


NOT_TEXT = {
    "utf16": "spec_version: v1\n".encode("utf-16"),
    "latin1": b"spec_version: v1\n# caf\xe9\n",
    "nul": b"spec_version: v1\nmode: \x00\n",
    "escape": b"spec_version: \x1b[31m\n",
    "empty": b"",
    "spaces": b"  \n\n",
    "deep": b"[" * 5000,
    "deeper": b"a: " + b"{a: " * 200,
    "long": b"a: " + b"x" * 100_000,
    "many": b"a:\n" + b"- 1\n" * 3000,
}


@pytest.mark.parametrize("name", NOT_TEXT)
def test_a_file_that_is_not_yaml_is_one_clear_mistake(tmp_path: Path, name: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(NOT_TEXT[name])
    with pytest.raises(InvalidSpec) as caught:
        load_spec(path)
    assert len(caught.value.mistakes) == 1
    assert caught.value.mistakes[0].message.isprintable()


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_spec(tmp_path / "nothing.yaml")


def test_a_folder_a_fifo_and_a_device_are_refused_without_waiting(tmp_path: Path) -> None:
    import os

    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo, Path("/dev/zero")):
        with pytest.raises(InvalidSpec):
            load_spec(path)


def test_a_byte_order_mark_and_windows_lines_are_fine() -> None:
    assert spec_of(MINIMAL.replace("\n", "\r\n")).data.dataset == "btcusdt-sample"


def test_names_are_not_part_of_the_digest_but_defaults_are() -> None:
    plain = spec_of(MINIMAL)
    assert spec_of(MINIMAL + "run_id: another\n").digest() == plain.digest()
    assert spec_of(MINIMAL + "risk: {profile: standard}\n").digest() == plain.digest()
    assert spec_of(MINIMAL + "risk: {profile: tiny}\n").digest() != plain.digest()


def test_specs_of_one_run_are_equal_except_for_its_name() -> None:
    plain = spec_of(MINIMAL).comparable_values()
    assert spec_of(MINIMAL + "run_id: another\nrisk: {profile: standard}\n").comparable_values() == plain
    assert spec_of(MINIMAL + "risk: {profile: tiny}\n").comparable_values() != plain
    other = spec_of(MINIMAL.replace("btcusdt-sample", "other"))
    assert (
        other.identity_values() == spec_of(MINIMAL).identity_values(),
        other.comparable_values() == plain,
    ) == (True, False)


def test_numbers_are_exact_and_their_spelling_does_not_matter() -> None:
    first = spec_of(MINIMAL + "account: {fees: {maker: 0.0001}}\n")
    second = spec_of(MINIMAL + 'account: {fees: {maker: "0.00010"}}\n')
    assert str(first.account.fees.maker) == "0.0001"
    assert first.digest() == second.digest()


PAPER = MINIMAL.replace("backtest", "paper")


def paper(block: str) -> PaperSpec:
    spec = spec_of(f"{PAPER}paper: {{{block}}}\n")
    assert isinstance(spec, PaperSpec)
    return spec


OTHER_THAN_THE_DEFAULT = {
    "speed": "max",
    "max_bars": "10",
    "max_seconds": "10",
    "on_stop": "leave",
    "restart": "on_failure",
    "max_restarts": "2",
    "reconcile_every_seconds": "5",
    "silent_after_seconds": "{bars: 600}",
    "hang_after_seconds": "5",
    "max_memory_mb": "512",
    "ticks_per_minute": "60",
    "latency_ms": "5",
}


def test_every_field_of_the_paper_block_is_part_of_the_digest() -> None:
    """A paper run has no result digest; the digest of its spec still identifies the request."""
    assert set(OTHER_THAN_THE_DEFAULT) == set(PaperLimits.model_fields)
    plain = paper("speed: 1, max_bars: null, hang_after_seconds: 10.0").digest()
    assert plain == spec_of(PAPER).digest() != spec_of(MINIMAL).digest()
    others = {paper(f"{field}: {value}").digest() for field, value in OTHER_THAN_THE_DEFAULT.items()}
    assert len(others | {plain}) == len(OTHER_THAN_THE_DEFAULT) + 1
    assert paper("speed: 60").digest() == paper('speed: "60.0"').digest()


@pytest.mark.parametrize(
    ("block", "bars", "quotes", "trades"),
    [
        ("", 150, 5, 5),
        ("ticks_per_minute: 4", 150, 37.5, 37.5),
        ("speed: 60", 2.5, 5, 5),
        ("speed: 600", 2, 5, 5),
        ("speed: max", 10, 10, 10),
        ("speed: 60, silent_after_seconds: {bars: 1.5, trades: 60}", 1.5, 5, 60),
        ("speed: max, silent_after_seconds: {quotes: 0.5}", 10, 0.5, 10),
    ],
)
def test_silence_of_a_feed_starts_after_the_given_time_or_by_its_pace(
    block: str, bars: float, quotes: float, trades: float
) -> None:
    assert paper(block).paper.silent_after() == {"bars": bars, "quotes": quotes, "trades": trades}


@given(st.integers(1, 1_000_000), st.integers(4, 60_000))
def test_default_silence_times_are_valid_input(speed: int, ticks: int) -> None:
    pace = f"speed: {speed}, ticks_per_minute: {ticks}"
    filled = paper(pace).paper.silent_after()
    given_times = ", ".join(f"{feed}: {seconds:.12f}" for feed, seconds in filled.items())
    again = paper(f"{pace}, silent_after_seconds: {{{given_times}}}").paper.silent_after()
    assert again == pytest.approx(filled)


@pytest.mark.parametrize("mode", ["", "mode: [paper]\n", "mode: 7\n", "mode: {}\n", "mode: Paper\n"])
def test_a_wrong_mode_is_one_mistake_and_hides_no_other(mode: str) -> None:
    text = PAPER.replace("mode: paper\n", mode) + "paper: {speed: fast}\nrisk: {profile: none}\n"
    with pytest.raises(InvalidSpec) as caught:
        spec_of(text)
    messages = {mistake.field: mistake.message for mistake in caught.value.mistakes}
    assert set(messages) == {"mode", "paper.speed", "risk.profile"}
    assert "must be backtest or paper" in messages["mode"]


def test_values_of_a_config_are_kept_as_written() -> None:
    def digest_with(values: str) -> str:
        text = MINIMAL.replace("{name: ops_smoke_demo}", f"{{path: a:B, config_path: a:C, config: {{{values}}}}}")
        return spec_of(text).digest()

    assert digest_with("a: 1, b: 2") == digest_with("b: 2, a: 1")
    assert (
        len({digest_with(f"a: {value}") for value in ("0.1", "0.10", '"0.1"', "1", "1.0", "true", '"true"', "null")})
        == 8
    )


def test_a_value_that_looks_like_a_secret_is_never_repeated() -> None:
    secret = "A1b2C3d4E5f6G7h8J9k0L1m2N3"
    for line in (f"risk: {{profile: {secret}}}", f"api_secret: {secret}", f"run_id: {secret}!", f"engine2: {secret}"):
        with pytest.raises(InvalidSpec) as caught:
            spec_of(MINIMAL + line + "\n")
        assert secret not in " ".join(mistake.message for mistake in caught.value.mistakes)


@settings(max_examples=300)
@given(st.text(max_size=300))
def test_any_text_is_loaded_or_refused(text: str) -> None:
    try:
        spec_of(text)
    except LabError as error:
        assert error.exit_code in (2, 5)
        assert not isinstance(error, Environment)


@settings(max_examples=200)
@given(
    st.sampled_from(MINIMAL.split()),
    st.sampled_from(["", "~", "yes", "[", "{a: b}", "1e999", "0x10", ".nan", "''", "-"]),
)
def test_a_spec_with_one_word_replaced_is_valid_or_refused_with_a_line(word: str, replacement: str) -> None:
    try:
        spec_of(MINIMAL.replace(word, replacement, 1))
    except InvalidSpec as error:
        assert all(mistake.message for mistake in error.mistakes)
