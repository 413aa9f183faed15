"""Readiness: are the variables set that a spec names. Nothing is connected to, and no value is seen."""

from collections.abc import Callable, Iterable, Mapping

from opslab.model.checks.connectivity import (
    ConnectivityReadiness,
    Presence,
    ReadinessProblem,
    ReadinessResult,
    ReadinessState,
)

Look = Callable[[Iterable[str]], Mapping[str, bool | None]]
"""Whether each named variable is set; None where that cannot be said."""

_WORDS: dict[bool | None, Presence] = {True: "set", False: "missing", None: "unreadable"}


def evaluate(block: ConnectivityReadiness, look: Look, evaluated_at: str) -> ReadinessResult:
    """Judge `block`. `look` is called only when there is something to look at: enabled, and without a problem."""
    names = block.credential_placeholders
    problems = problems_of(block)
    seen: Mapping[str, bool | None] | None = None
    if block.enabled and not problems:
        seen = look([*names.required_env, *names.optional_env])
    return ReadinessResult(
        evaluated_at=evaluated_at,
        state=_state(block, problems, seen),
        problems=problems,
        target=block.target,
        venue=block.venue,
        required_env=_presence(names.required_env, seen),
        optional_env=_presence(names.optional_env, seen),
    )


def problems_of(block: ConnectivityReadiness) -> tuple[ReadinessProblem, ...]:
    """Why an enabled block asks for nothing that can be checked."""
    if not block.enabled:
        return ()
    found: list[ReadinessProblem] = []
    if block.target is None:
        found.append("no_target")
    if not block.credential_placeholders.required_env:
        found.append("no_required_env")
    return tuple(found)


def _state(
    block: ConnectivityReadiness, problems: Iterable[ReadinessProblem], seen: Mapping[str, bool | None] | None
) -> ReadinessState:
    if not block.enabled:
        return "disabled"
    if problems or seen is None:
        return "invalid_config"
    required = [seen[name] for name in block.credential_placeholders.required_env]
    if False in required:
        return "missing_credentials"
    return "unknown" if None in required else "configured"


def _presence(names: Iterable[str], seen: Mapping[str, bool | None] | None) -> dict[str, Presence]:
    return {name: _WORDS[seen[name]] if seen is not None else "unchecked" for name in names}
