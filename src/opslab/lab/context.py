"""The context of a command: real clock, process table and folders. Loads no third-party package."""

import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from opslab.context import Context
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.redact import PathRedactor
from opslab.settings import Settings, resolve_for_process
from opslab.store.layout import Layout
from opslab.system import SystemClock, SystemProcesses

if TYPE_CHECKING:
    from opslab.model.run.metadata import Owner


def open_context(home: str | None) -> Context:
    """home: the option `--home`."""
    return context_of(resolve_for_process(home))


def context_of(settings: Settings) -> Context:
    layout, clock = Layout(settings.home), SystemClock()

    def is_alive_elsewhere(run_id: str, owner: "Owner", same_kernel: bool) -> bool:
        from opslab.runs.record.owners import lives_elsewhere

        return lives_elsewhere(layout, clock, RunId(run_id), owner, same_kernel)

    def redact(text: str) -> str:
        return _redactor(layout.home)(text)

    return Context(layout, clock, SystemProcesses(is_alive_elsewhere), redact)


@cache
def _redactor(home: Path) -> PathRedactor:
    """Built at its first use: an activation of the kill switch must not depend on it."""
    known = {
        str(home): "<home>",
        str(Path(__file__).parents[1]): "opslab",
        sys.prefix: "<env>",
        sys.base_prefix: "<python>",
    }
    with suppress(RuntimeError):  # no HOME, and no entry of the user in the password file
        known[str(Path("~").expanduser())] = "~"
    return PathRedactor(known, (path.name for path in Path("/").iterdir()))
