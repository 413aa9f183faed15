"""Flag over environment over file over default; each value knows where it came from."""

from pathlib import Path

import pytest

from opslab.errors import Usage
from opslab.settings import TraceSettings, resolve, trace_settings


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    (tmp_path / "tc.toml").write_text('home = "from-file"\n')
    flag = resolve("from-flag", {"TC_HOME": "from-env"}, tmp_path)
    env = resolve(None, {"TC_HOME": "from-env"}, tmp_path)
    file = resolve(None, {}, tmp_path)
    assert (flag.home, flag.home_source) == (tmp_path / "from-flag", "--home")
    assert (env.home, env.home_source) == (tmp_path / "from-env", "TC_HOME")
    assert (file.home, file.home_source) == (tmp_path / "from-file", "tc.toml")


def test_without_any_the_current_folder_is_home(tmp_path: Path) -> None:
    assert resolve(None, {}, tmp_path).home == tmp_path


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert resolve(None, {"TC_HOME": ""}, tmp_path).home_source == "the current folder"


@pytest.mark.parametrize("text", ["home = 3\n", "home = \n", "hom = 'x'\n", "\xff"])
def test_a_bad_file_is_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "tc.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(Usage):
        resolve(None, {}, tmp_path)


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for text in ("file", "", "a\x00b"):
        with pytest.raises(Usage):
            resolve(text, {}, tmp_path)


ENDPOINT, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({ENDPOINT: " "}, None),
        ({"TRACEPARENT": "00-x"}, None),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "x"}, None),
        ({ENDPOINT: "x", "OTEL_SDK_DISABLED": "True"}, None),
        ({ENDPOINT: "x", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({ENDPOINT: "x", "OTEL_SDK_DISABLED": "false", "OTEL_TRACES_EXPORTER": "otlp"}, (ENDPOINT, "", "")),
        ({ENDPOINT: "x", TRACES: "y", "TRACEPARENT": " 00-x "}, (TRACES, "", "00-x")),
        ({TRACES: "y", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, (TRACES, "grpc", "")),
        (
            {ENDPOINT: "x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "p"},
            (ENDPOINT, "p", ""),
        ),
    ],
)
def test_traces_are_requested_by_the_variables_of_opentelemetry(
    environ: dict[str, str], expected: tuple[str, str, str] | None
) -> None:
    assert trace_settings(environ) == (TraceSettings(*expected) if expected else None)
