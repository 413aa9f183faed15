"""Crash logs: below the home when that is writable, else in the temporary folder."""

import os
import tempfile
import time
from pathlib import Path

from opslab.store.files import make_folder


def write_crash_log(folder: Path | None, text: str) -> str:
    """Write `text` to a new file; returns its path, or a note that no file could be written."""
    name = f"tc-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}.log"
    for target in (folder, Path(tempfile.gettempdir())):
        if target is None:
            continue
        try:
            make_folder(target)
            path = target / name
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return str(path)
    return "the traceback (no writable folder for a crash log)"
