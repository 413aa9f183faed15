"""States and their colours. The exporter has one series for each state; a panel shows the state's name.

A state is shown through its number in this table, from 1, so that one row of a state timeline has all states.
"""

from dataclasses import dataclass

from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMappingResult

GOOD, DONE, NEUTRAL, WAIT, WARN, BAD = "green", "semi-dark-blue", "text", "yellow", "orange", "red"


@dataclass(frozen=True, slots=True)
class States:
    """A family with one series for each state, with value 1 for the current one."""

    family: str
    label: str
    colors: dict[str, str]
    """State to colour, in the order of their numbers."""

    def expression(self, matchers: str = "") -> str:
        """The number of the current state, with the family's labels except the state.

        matchers: of the selector, without the one of the state.
        """
        numbered = [
            f'{number} * {self.family}{{{f"{matchers}, " if matchers else ""}{self.label}="{state}"}}'
            for number, state in enumerate(self.colors, start=1)
        ]
        return f"sum without ({self.label}) (\n  " + "\n  or ".join(numbered) + "\n)"

    def mapping(self) -> ValueMap:
        """0 is no state: the exporter had a series of each, and none was 1."""
        names = enumerate((("unknown", NEUTRAL), *self.colors.items()))
        return ValueMap(
            {str(number): ValueMappingResult(text=state, color=color, index=number) for number, (state, color) in names}
        )


def binary(no: tuple[str, str], yes: tuple[str, str]) -> ValueMap:
    """Text and colour of 0 and of 1."""
    return ValueMap(
        {
            str(value): ValueMappingResult(text=text, color=color, index=value)
            for value, (text, color) in enumerate((no, yes))
        }
    )


RUN = States(
    "opslab_run_state",
    "state",
    {
        "initialized": WAIT,
        "running": GOOD,
        "completed": DONE,
        "failed": BAD,
        "safety_blocked": WARN,
        "halted": WARN,
        "interrupted": BAD,
    },
)
PHASE = States("opslab_run_phase", "phase", {"starting": WAIT, "running": GOOD, "restarting": WARN, "stopping": DONE})
KILL_SWITCH = States("opslab_kill_switch_state", "state", {"absent": GOOD, "active": BAD, "cleared": DONE})
FEED = States("opslab_feed_state", "state", {"live": GOOD, "silent": BAD, "disconnected": BAD, "recovering": WARN})
RECONCILIATION = States(
    "opslab_reconciliation_state", "state", {"ok": GOOD, "warning": WARN, "mismatch": BAD, "unknown": WAIT}
)
READINESS = States(
    "opslab_readiness_state",
    "state",
    {"disabled": NEUTRAL, "configured": GOOD, "missing_credentials": BAD, "invalid_config": BAD, "unknown": WAIT},
)
PROBE = States(
    "opslab_probe_state",
    "state",
    {
        "probe_ok": GOOD,
        "probe_http_error": BAD,
        "probe_timeout": BAD,
        "probe_unreachable": BAD,
        "probe_unknown": WAIT,
    },
)
FAILURE = States("opslab_run_failure", "kind", {"strategy": BAD, "engine": BAD, "account": BAD, "lab": BAD})
ESCALATION = States("opslab_halt_escalation", "signal", {"none": GOOD, "sigterm": WARN, "sigkill": BAD})

DRILL = States("opslab_drill_state", "state", {"pass": GOOD, "fail": BAD, "unknown": WARN, "never_run": NEUTRAL})
SOCKET = States("opslab_socket_state", "state", {"connected": GOOD, "disconnected": BAD})

ALL = (RUN, PHASE, KILL_SWITCH, FEED, RECONCILIATION, READINESS, PROBE, FAILURE, ESCALATION, DRILL, SOCKET)

GATE = binary(no=("closed", BAD), yes=("open", GOOD))
YES_NO = binary(no=("no", NEUTRAL), yes=("yes", GOOD))
NO_IS_BAD = binary(no=("no", BAD), yes=("yes", GOOD))
