"""Reads a snapshot file given on the command line, in bounded size."""

import os
import stat
from pathlib import Path

from opslab.errors import Environment, NotFound, Usage
from opslab.model.primitives.ids import shown


def read_snapshot_file(path: Path, max_bytes: int) -> bytes:
    """At most `max_bytes` and one more byte. Never waits for a FIFO or a device.

    Raises NotFound, Environment, or Usage for a path that is not a regular file.
    """
    name = shown_path(path)
    try:
        with open(path, "rb", opener=lambda file, flags: os.open(file, flags | os.O_NONBLOCK)) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise Usage(f"{name} is not a regular file", hint="give the path of a JSON file")
            return stream.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"snapshot file {name} not found", hint="check the path; tc reconcile schema") from None
    except IsADirectoryError:
        raise Usage(f"{name} is a directory", hint="give the path of a JSON file") from None
    except ValueError:
        raise Usage(f"{name} is not a usable path") from None
    except OSError as error:
        raise Environment(f"cannot read snapshot file {name}: {error.strerror}") from None


def shown_path(path: Path) -> str:
    """The path as given, safe for one line of text."""
    text = str(path)
    return text if text.isprintable() and len(text) <= 200 else shown(text, 200)
