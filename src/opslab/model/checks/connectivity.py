"""Connectivity: its block of the spec, and the results of its two checks. Names of variables, never a value."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from opslab.model.primitives.mistakes import mistakes_at
from opslab.model.primitives.record import Record

ReadinessState = Literal["disabled", "configured", "missing_credentials", "invalid_config", "unknown"]
Presence = Literal["set", "missing", "unreadable", "unchecked"]
"""Of a variable. `unreadable`: its value is not text; `unchecked`: the environment was not read."""
ReadinessProblem = Literal["no_target", "no_required_env"]

ProbeState = Literal["probe_ok", "probe_http_error", "probe_timeout", "probe_unreachable", "probe_unknown"]
ProbeReason = Literal[
    "redirect",
    "status",
    "deadline",
    "not_resolved",
    "refused",
    "not_connected",
    "closed_early",
    "malformed",
    "head_too_long",
    "body_too_long",
]
ProbePhase = Literal["resolve", "connect", "request", "first_byte", "head", "body", "done"]

MAX_NAMES = 50
MAX_NOTES = 1000
_ENV_NAME = r"[A-Z_][A-Z0-9_]{0,127}"
_TARGET = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_KEY_PREFIXES = ("AKIA", "ASIA", "ghp_", "xox", "sk-", "eyJ")
NOT_REPEATED = "not repeated here"


def _names(value: Any) -> Any:
    """Check the whole list here, so that no error text contains an item: it may be a key instead of its name.

    Raises ValidationError with the location of every wrong item.
    """
    if not isinstance(value, (list, tuple)):
        raise mistakes_at([((), f"must be a list of names of environment variables; the value is {NOT_REPEATED}")])
    if len(value) > MAX_NAMES:
        raise mistakes_at([((), f"has {len(value)} names; at most {MAX_NAMES} are allowed")])
    mistakes: list[tuple[tuple[int | str, ...], str]] = []
    for index, name in enumerate(value):
        if not isinstance(name, str) or not re.fullmatch(_ENV_NAME, name, re.ASCII):
            mistakes.append(
                ((index,), f"must be the name of an environment variable, [A-Z_][A-Z0-9_]*; {NOT_REPEATED}")
            )
        elif is_key_like(name):
            mistakes.append(((index,), f"looks like a key, not like the name of a variable; {NOT_REPEATED}"))
        elif name in value[:index]:
            mistakes.append(((index,), "is a duplicate"))
    if mistakes:
        raise mistakes_at(mistakes)
    return tuple(value)


def _target(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(_TARGET, value, re.ASCII) or is_key_like(value):
        raise mistakes_at([((), f"must be a short name of letters, digits and . _ -; the value is {NOT_REPEATED}")])
    return value


def _notes(value: Any) -> Any:
    if not isinstance(value, str) or len(value) > MAX_NOTES:
        raise mistakes_at([((), f"must be text of at most {MAX_NOTES} characters; the value is {NOT_REPEATED}")])
    return value


def is_key_like(name: str) -> bool:
    """Whether a name of allowed characters is probably a key: a long part without a separator, or a known prefix."""
    if name.startswith(_KEY_PREFIXES):
        return True
    for part in re.split(r"[._-]", name):
        mixed = bool(re.search("[0-9]", part)) and bool(re.search("[A-Za-z]", part))
        if len(part) >= 24 or (len(part) >= 16 and mixed):
            return True
    return False


def _refuse_keys_like_keys(value: Any) -> Any:
    """Refused here, because the mistake of an unknown field repeats its name."""
    if isinstance(value, dict) and any(isinstance(key, str) and is_key_like(key) for key in value):
        raise mistakes_at([((), f"has a field whose name looks like a key; {NOT_REPEATED}")])
    return value


EnvNames = Annotated[
    tuple[str, ...],
    BeforeValidator(_names),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "pattern": f"^{_ENV_NAME}$"},
            "maxItems": MAX_NAMES,
            "uniqueItems": True,
        }
    ),
]
TargetName = Annotated[str, BeforeValidator(_target), WithJsonSchema({"type": "string", "pattern": f"^{_TARGET}$"})]
Notes = Annotated[str, BeforeValidator(_notes), WithJsonSchema({"type": "string", "maxLength": MAX_NOTES})]


class CredentialPlaceholders(Record):
    """Names of the environment variables that will hold credentials."""

    required_env: EnvNames = Field(default=(), description="names of variables that must be set; never their values")
    optional_env: EnvNames = Field(default=(), description="names of variables that may be set; never their values")

    _refuse_keys = model_validator(mode="before")(_refuse_keys_like_keys)

    @model_validator(mode="after")
    def _do_not_overlap(self) -> Self:
        duplicates = [index for index, name in enumerate(self.optional_env) if name in self.required_env]
        if duplicates:
            raise mistakes_at([(("optional_env", index), "is in required_env too; keep one") for index in duplicates])
        return self


class ConnectivityReadiness(Record):
    """Environment variables that must be set before a connection. Changes no result; not part of the input digest."""

    enabled: bool = Field(
        default=False, description="true: tc connectivity readiness checks whether the variables are set"
    )
    target: TargetName | None = Field(default=None, description="purpose of the connection: a short name")
    venue: Literal["binance"] = Field(default="binance", description="the same as the spec's venue")
    credential_placeholders: CredentialPlaceholders = Field(
        default_factory=CredentialPlaceholders, description="names of environment variables"
    )
    notes: Notes | None = Field(default=None, description="note for the operator when a variable is missing")

    _refuse_keys = model_validator(mode="before")(_refuse_keys_like_keys)


class ReadinessResult(Record):
    """`connectivity_readiness.json`."""

    readiness_version: Literal["v1"] = "v1"
    evaluated_at: str
    state: ReadinessState
    problems: tuple[ReadinessProblem, ...] = ()
    """Reasons for `invalid_config`."""
    target: str | None
    venue: str
    required_env: dict[str, Presence]
    optional_env: dict[str, Presence]

    @property
    def missing_env(self) -> list[str]:
        """Names of the required variables that are not set."""
        return [name for name, presence in self.required_env.items() if presence in ("missing", "unreadable")]


class ProbeResult(Record):
    """`connectivity_probe.json`. Times in milliseconds; None: the phase was not reached."""

    probe_version: Literal["v1"] = "v1"
    evaluated_at: str
    state: ProbeState
    reason: ProbeReason | None
    """Reason for a state other than `probe_ok`."""
    phase: ProbePhase
    """Last phase reached."""
    scheme: Literal["http"] = "http"
    host: str
    port: int
    path: str
    has_query: bool
    """The query itself is not stored."""
    address: str | None
    """Address of the connection."""
    status_code: int | None
    http_version: str | None
    header_count: int | None
    head_bytes: int | None
    """Size of status line and headers, informational responses included."""
    body_bytes: int | None
    """Size of the content without chunk sizes. The content itself is not stored."""
    resolve_ms: float | None
    connect_ms: float | None
    first_byte_ms: float | None
    """From the connection to the first byte of the response."""
    total_ms: float
    timeout_ms: int
