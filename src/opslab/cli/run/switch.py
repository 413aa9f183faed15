"""Output of the kill switch's effect on a run."""

from typing import TYPE_CHECKING

from opslab.cli.output import note

if TYPE_CHECKING:
    from opslab.model.run.metadata import RunMetadata, Safety


def note_blocked(run: "RunMetadata") -> None:
    """Print why the kill switch blocked a run, with a hint."""
    from opslab.lab.run.safety import refused

    failure = refused(run)
    note(f"error: {failure.message}")
    note(f"hint: {failure.hint}")


def note_halted(run: "RunMetadata") -> None:
    """Print why the kill switch stopped a run, with a hint."""
    from opslab.lab.run.safety import blocked_by, switch_option

    note(f"run {run.run_id} was halted: {blocked_by(run)}")
    note(f"hint: tc kill status {switch_option(run)}; docs/runbooks/kill-switch.md")


def switch_text(safety: "Safety | None") -> str | None:
    """Field of a run; None when the switch was never activated."""
    return f"{safety.state} ({safety.file})" if safety and safety.state != "absent" else None
