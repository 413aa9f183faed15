"""Validated ids as types; safe to join to a path."""

import difflib
import re
from collections.abc import Iterable
from typing import Self

from opslab.errors import BadId

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DATASET_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)

RUN_ID_RULE = "1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit, without '__', not ending in '.'"
DATASET_ID_RULE = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit, without '__', not ending in '.'"


class RunId(str):
    """Name of a run and of its folder. `__` is reserved for pairs of runs."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _RUN_ID.fullmatch(text) or "__" in text or text.endswith("."):
            raise BadId(f"run id {shown(text)} is not allowed", hint=f"a run id is {RUN_ID_RULE}")
        return super().__new__(cls, text)


class DatasetId(str):
    """Name of a dataset and of its folder. Lower case, distinct on every file system."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _DATASET_ID.fullmatch(text) or "__" in text or text.endswith("."):
            raise BadId(f"dataset {shown(text)} is not allowed", hint=f"a dataset name is {DATASET_ID_RULE}")
        return super().__new__(cls, text)


class VenueId(str):
    """Name of a venue that is served alone, and of its ledger's folder."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _RUN_ID.fullmatch(text) or "__" in text or text.endswith("."):
            raise BadId(f"venue name {shown(text)} is not allowed", hint=f"a venue's name is {RUN_ID_RULE}")
        return super().__new__(cls, text)


def shown(text: str, limit: int = 60) -> str:
    """`text` in quotes for a message: printable, on one line, of bounded length."""
    quoted = ascii(text if len(text) <= limit else text[:limit])
    return quoted if len(text) <= limit else f"{quoted}... ({len(text)} characters)"


def nearest(text: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most similar to `text`, best first; empty when none is similar."""
    return difflib.get_close_matches(text, list(known), n=count, cutoff=0.5)
