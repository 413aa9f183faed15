"""Why the kill switch blocked or halted a run."""

from opslab.runs.safety.start_gate import blocked_by, refusal, switch_option

__all__ = ["blocked_by", "refusal", "switch_option"]
