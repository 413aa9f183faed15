"""Stored counters of the ends of runs, so that they do not fall when a run is deleted or the exporter restarts.

A cache: without the file, counting begins with the runs that exist.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from opslab.store.files import make_folder, write_whole
from opslab.store.layout import Layout

_VERSION = 1

EndKey = tuple[str, str, str]
"""Mode, status, ended_by."""


class Counted(NamedTuple):
    ends: int
    existing: int
    """Number of runs under this key when they were last counted."""


def read_run_ends(layout: Layout) -> dict[EndKey, Counted]:
    """Empty when there is no valid file."""
    try:
        document = json.loads((layout.runtime / "metrics" / "run_ends.json").read_bytes())
        if document["version"] != _VERSION:
            return {}
        return {_key(entry[:3]): Counted(int(entry[3]), int(entry[4])) for entry in document["run_ends"]}
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return {}


def write_run_ends(layout: Layout, ends: Mapping[EndKey, Counted]) -> bool:
    """Replace it atomically, not durably. Returns whether it was written."""
    path = layout.runtime / "metrics" / "run_ends.json"
    document = {"version": _VERSION, "run_ends": [[*key, *counted] for key, counted in sorted(ends.items())]}
    with suppress(OSError):
        make_folder(path.parent)
        write_whole(path, json.dumps(document).encode(), durable=False)
        return True
    return False


def _key(parts: list[str]) -> EndKey:
    mode, status, ended_by = map(str, parts)
    return mode, status, ended_by
