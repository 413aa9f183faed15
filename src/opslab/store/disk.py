"""Space on a disk."""

import os
from pathlib import Path
from typing import NamedTuple


class DiskSpace(NamedTuple):
    free_bytes: int
    """For a user who is not root."""
    size_bytes: int


def disk_space(path: Path) -> DiskSpace:
    """Of the file system that has `path`. Raises OSError."""
    state = os.statvfs(path)
    return DiskSpace(state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize)
