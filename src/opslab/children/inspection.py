"""The inspection child: load a user's strategy as a run would, report its mistakes, and exit.

Started by control as `python -P -m opslab.children.inspection FD`, with a `UserStrategyPlan` on standard input. The
answer is one JSON line on descriptor FD: `{"keys": [...], "locations": [...]}` or
`{"mistakes": [{"field", "message"}]}`. Standard output and error carry only prints of the user's modules.
"""

import json
import os
import resource
import signal
import sys
from typing import Any

from opslab.children.redactor import path_redactor
from opslab.model.messages.engine_messages import UserStrategyPlan
from opslab.nautilus.strategy.user_strategy import UnusableStrategy, load, module_locations

MEMORY_BYTES = 8 << 30
"""A module that allocates without bound reaches this limit before the machine's."""
LIFETIME_SECONDS = 30
"""Control ends this process long before; this limit is for a control that was killed meanwhile."""


def main(descriptor: int) -> int:
    os.set_inheritable(descriptor, False)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (LIFETIME_SECONDS, LIFETIME_SECONDS))
    signal.alarm(LIFETIME_SECONDS)
    plan = UserStrategyPlan.model_validate_json(sys.stdin.buffer.readline())
    redact = path_redactor(plan.folder)
    answer: dict[str, Any] = {"locations": module_locations(plan)}
    try:
        answer["keys"] = load(plan).keys
    except UnusableStrategy as unusable:
        answer["mistakes"] = [
            {"field": ["strategy", *finding.field], "message": redact(finding.message)} for finding in unusable.findings
        ]
    os.write(descriptor, json.dumps(answer).encode() + b"\n")
    os._exit(0)  # threads and exit handlers of the user's modules are not waited for


if __name__ == "__main__":
    main(int(sys.argv[1]))
