"""Readiness: whether the environment variables that a spec names are set. No network; no value reaches this module."""

from collections.abc import Callable, Iterable, Mapping

from opslab.model.checks.connectivity import (
    ConnectivityReadiness,
    Presence,
    ReadinessProblem,
    ReadinessResult,
    ReadinessState,
)

ReadPresence = Callable[[Iterable[str]], Mapping[str, bool | None]]
"""Variable names to whether each is set; None: set, but not readable as text."""

_PRESENCE: dict[bool | None, Presence] = {True: "set", False: "missing", None: "unreadable"}


def evaluate(block: ConnectivityReadiness, read_presence: ReadPresence, evaluated_at: str) -> ReadinessResult:
    """Judge `block`. `read_presence` is called only if the block is enabled and has no problem."""
    names = block.credential_placeholders
    problems = problems_of(block)
    is_set: Mapping[str, bool | None] | None = None
    if block.enabled and not problems:
        is_set = read_presence([*names.required_env, *names.optional_env])
    return ReadinessResult(
        evaluated_at=evaluated_at,
        state=_state(block, problems, is_set),
        problems=problems,
        target=block.target,
        venue=block.venue,
        required_env=_presence(names.required_env, is_set),
        optional_env=_presence(names.optional_env, is_set),
    )


def problems_of(block: ConnectivityReadiness) -> tuple[ReadinessProblem, ...]:
    """Reasons why an enabled block has nothing to check."""
    if not block.enabled:
        return ()
    problems: list[ReadinessProblem] = []
    if block.target is None:
        problems.append("no_target")
    if not block.credential_placeholders.required_env:
        problems.append("no_required_env")
    return tuple(problems)


def _state(
    block: ConnectivityReadiness, problems: Iterable[ReadinessProblem], is_set: Mapping[str, bool | None] | None
) -> ReadinessState:
    if not block.enabled:
        return "disabled"
    if problems or is_set is None:
        return "invalid_config"
    required = [is_set[name] for name in block.credential_placeholders.required_env]
    if False in required:
        return "missing_credentials"
    return "unknown" if None in required else "configured"


def _presence(names: Iterable[str], is_set: Mapping[str, bool | None] | None) -> dict[str, Presence]:
    return {name: _PRESENCE[is_set[name]] if is_set is not None else "unchecked" for name in names}
