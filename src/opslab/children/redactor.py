"""Redact this machine's paths in the texts of user strategies."""

import sys
from pathlib import Path

from opslab.model.primitives.redact import PathRedactor


def path_redactor(folder: str | None = None) -> PathRedactor:
    """Removes this machine's paths from the messages of exceptions; paths in the spec's folder become relative."""
    known = {str(Path(__file__).parents[1]): "opslab", sys.prefix: "<env>", sys.base_prefix: "<python>"}
    if folder:
        known |= {f"{folder.rstrip('/')}/": "", folder: "<spec folder>"}
    return PathRedactor(known, (path.name for path in Path("/").iterdir()))
