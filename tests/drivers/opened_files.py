"""Runs `tc` and lists the files it opened until it gave its first engine or venue a plan: until it opened its log.

usage: python opened_files.py LIST WORDS...; LIST gets a line for each file: `read` or `write`, and its path. The audit
hook sees what this process opens, and nothing of its children.
"""

import os
import sys
from pathlib import Path
from typing import Any

LOGS = {"engine.log", "venue.log"}
opened: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        path, _mode, flags = arguments
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR))
        if writes and Path(os.fsdecode(path)).name in LOGS and not list_file.exists():
            list_file.write_text("\n".join(opened))
        opened.append(f"{'write' if writes else 'read'} {os.fspath(path)}")


if __name__ == "__main__":
    list_file = Path(sys.argv[1])
    sys.argv = ["tc", *sys.argv[2:]]
    from opslab.__main__ import main

    sys.addaudithook(watch)
    main()
