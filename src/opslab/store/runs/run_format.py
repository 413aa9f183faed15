"""Refuses JSON documents of a run's folder in another format."""

import json
import re
from pathlib import Path

from opslab.errors import OtherFormat
from opslab.model.run.event import RUN_FORMAT

_VERSION = re.compile(r"v([1-9][0-9]{0,8})")


def refuse_other_format(folder: Path, name: str, document: bytes, field: str) -> None:
    """Raises OtherFormat when `field` of a document of the run has another version; returns for any other defect."""
    try:
        values = json.loads(document)
    except (ValueError, RecursionError):
        return
    version = values.get(field) if isinstance(values, dict) else None
    match = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if match and int(match[1]) != RUN_FORMAT:
        raise OtherFormat(folder.name, name, int(match[1]), RUN_FORMAT)
