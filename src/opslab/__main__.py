"""The console script, and `python -m opslab`: what must be settled before anything else is imported."""

import os
import signal

_INTERRUPTED = 130


def _leave(_number: int, _frame: object) -> None:
    """Until `tc` takes over, a signal ends it at once and quietly: nothing has begun."""
    os._exit(_INTERRUPTED)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    from opslab.cli.app import main as tc

    tc()


if __name__ == "__main__":
    main()
