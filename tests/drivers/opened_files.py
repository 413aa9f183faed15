"""Runs `tc` and lists the files it opened until it started its first engine or venue.

usage: python opened_files.py LIST WORDS...; LIST gets a line for each file: `read` or `write`, and its path. The audit
hook sees what this process opens, and nothing of its children.
"""

import os
import sys
from pathlib import Path
from typing import Any

CHILDREN = {"opslab.children.engine", "opslab.children.venue"}
opened: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        path, _mode, flags = arguments
        opened.append(f"{'write' if flags & (os.O_WRONLY | os.O_RDWR) else 'read'} {os.fspath(path)}")
    elif event == "subprocess.Popen" and CHILDREN & {str(word) for word in arguments[1]} and not list_file.exists():
        list_file.write_text("\n".join(opened))


if __name__ == "__main__":
    list_file = Path(sys.argv[1])
    sys.argv = ["tc", *sys.argv[2:]]
    from opslab.__main__ import main

    sys.addaudithook(watch)
    main()
