"""The inspection child: loads a user's strategy as a run would, says what is wrong, and is gone.

Started by control as `python -P -m opslab.children.inspection FD`, with an `UserStrategyPlan` on standard input. The
answer is one JSON line on descriptor FD: `{"keys": [...], "places": [...]}` or `{"mistakes": [{"field", "message"}]}`.
What the user's modules print goes to standard output and error, which are nobody's protocol.
"""

import json
import os
import resource
import signal
import sys
from typing import Any

from opslab.children.engine import redactor
from opslab.model.messages.engine_messages import UserStrategyPlan
from opslab.nautilus.strategy import user_strategy as own

MEMORY_BYTES = 8 << 30
"""So that a module that eats memory meets its limit before the machine does."""
ALONE_SECONDS = 30
"""Control ends this process long before; this is for when control was killed meanwhile."""


def main(descriptor: int) -> int:
    os.set_inheritable(descriptor, False)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (ALONE_SECONDS, ALONE_SECONDS))
    signal.alarm(ALONE_SECONDS)
    plan = UserStrategyPlan.model_validate_json(sys.stdin.buffer.readline())
    redact = redactor(plan.folder)
    answer: dict[str, Any] = {"places": own.places_of(plan)}
    try:
        answer["keys"] = own.load(plan).keys
    except own.Unusable as unusable:
        answer["mistakes"] = [
            {"field": ["strategy", *finding.field], "message": redact(finding.message)} for finding in unusable.findings
        ]
    os.write(descriptor, json.dumps(answer).encode() + b"\n")
    os._exit(0)  # threads and exit handlers of the user's modules are not waited for


if __name__ == "__main__":
    main(int(sys.argv[1]))
