"""Write the traceback of a bug to a log file, never to the terminal."""

import traceback

from opslab.errors import LabError
from opslab.lab.context import open_context
from opslab.store.crash import write_crash_log


def save_traceback(bug: BaseException) -> str:
    """Write the traceback; return the path of the log file."""
    text = "".join(traceback.format_exception(bug))
    try:
        folder = open_context(None).layout.logs
    except LabError:
        folder = None
    return write_crash_log(folder, text)
