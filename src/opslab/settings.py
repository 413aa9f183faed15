"""Settings, resolved once, each with its source: the home folder, traces; and the environment of child processes.

Order: flag, then `TC_*`, then `tc.toml` in the current folder, then the default.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from opslab.errors import Environment, Usage
from opslab.model.primitives.ids import nearest, shown

KNOWN_KEYS = ("home",)
_PASSED_TO_CHILDREN = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")

_TRACE_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TRACE_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


@dataclass(frozen=True, slots=True)
class Settings:
    home: Path
    """Absolute; below it `data/`, `artifacts/` and `runtime/`."""
    home_source: str
    """`--home`, `TC_HOME`, `tc.toml` or `the current folder`."""


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """The environment requests traces. The values that name the receiver stay in the environment."""

    variable: str
    """The variable that has the endpoint."""
    protocol: str
    """OTLP protocol; empty: the default."""
    traceparent: str
    """Parent of a run's trace; empty: none."""


def resolve(home_flag: str | None, environ: Mapping[str, str], folder: Path) -> Settings:
    """Resolve the settings for a command started in `folder`. Raises Usage for a bad `tc.toml`."""
    if home_flag is not None:
        return Settings(_absolute(home_flag, folder, "--home"), "--home")
    if environ.get("TC_HOME"):
        return Settings(_absolute(environ["TC_HOME"], folder, "TC_HOME"), "TC_HOME")
    from_file = _file_home(folder / "tc.toml")
    if from_file is not None:
        return Settings(_absolute(from_file, folder, "tc.toml"), "tc.toml")
    return Settings(folder, "the current folder")


def resolve_for_process(home_flag: str | None) -> Settings:
    """Resolve for this process: its environment, its current folder."""
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        raise Environment("the current folder no longer exists", hint="cd to an existing folder") from None
    return resolve(home_flag, os.environ, folder)


def child_environment() -> dict[str, str]:
    """The environment of a child process: only the variables named here; no proxy, no `BINANCE_*`."""
    kept = {name: os.environ[name] for name in _PASSED_TO_CHILDREN if name in os.environ}
    return {**kept, "NO_PROXY": "*", "no_proxy": "*", "PYTHONUNBUFFERED": "1"}


def trace_settings(environ: Mapping[str, str]) -> TraceSettings | None:
    """None: no traces are requested, or OpenTelemetry is switched off."""
    variable = next((name for name in _TRACE_ENDPOINTS if environ.get(name, "").strip()), None)
    is_off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if variable is None or is_off or environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return None
    protocol = next((environ[name].strip() for name in _TRACE_PROTOCOLS if environ.get(name, "").strip()), "")
    return TraceSettings(variable, protocol, environ.get("TRACEPARENT", "").strip())


def trace_settings_of_process() -> TraceSettings | None:
    return trace_settings(os.environ)


def presence(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, bool | None]:
    """Whether each variable has a visible value; the value itself never leaves this function.

    None: the value is not valid text, so a program's interpretation of it is unknown.
    """
    return {name: _is_set(environ.get(name, "")) for name in names}


def presence_in_process(names: Iterable[str]) -> dict[str, bool | None]:
    """`presence` in this process's environment."""
    return presence(names, os.environ)


def _is_set(value: str) -> bool | None:
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        return None
    return any(character.isprintable() and not character.isspace() for character in value)


def _absolute(text: str, folder: Path, source: str) -> Path:
    if not text or "\x00" in text:
        raise Usage(f"{source}: {shown(text)} is not a folder", hint="give the path of a folder")
    path = Path(os.path.abspath(folder / Path(text).expanduser()))  # noqa: PTH100  (`resolve` would follow symlinks)
    if path.exists() and not path.is_dir():
        raise Usage(f"{source}: {shown(text, 200)} is not a folder", hint="give the path of a folder")
    return path


def _file_home(file: Path) -> str | None:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Environment(f"cannot read tc.toml: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Usage(f"tc.toml: {error}", hint='example line: home = "lab"') from None
    for key in values:
        if key not in KNOWN_KEYS:
            nearest_keys = nearest(key, KNOWN_KEYS, 1)
            guess = f"; did you mean {nearest_keys[0]!r}?" if nearest_keys else ""
            raise Usage(f"tc.toml: unknown key {shown(key)}{guess}", hint=f"known keys: {', '.join(KNOWN_KEYS)}")
    home = values.get("home")
    if home is not None and not isinstance(home, str):
        raise Usage("tc.toml: home must be text", hint='example line: home = "lab"')
    return home
