"""Ids as types: safe to join to a path because they could not be made otherwise."""

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
    """Names one run and its folder. `__` is kept for pairs of runs."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _RUN_ID.fullmatch(text) or "__" in text or text.endswith("."):
            raise BadId(f"run id {shown(text)} is not allowed", hint=f"a run id is {RUN_ID_RULE}")
        return super().__new__(cls, text)


class DatasetId(str):
    """Names one dataset and its folder. Lower case, so that no file system can confuse two of them."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _DATASET_ID.fullmatch(text) or "__" in text or text.endswith("."):
            raise BadId(f"dataset {shown(text)} is not allowed", hint=f"a dataset name is {DATASET_ID_RULE}")
        return super().__new__(cls, text)


class VenueId(str):
    """Names one venue that is served alone, and the folder of its ledger."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _RUN_ID.fullmatch(text) or "__" in text or text.endswith("."):
            raise BadId(f"venue name {shown(text)} is not allowed", hint=f"a venue's name is {RUN_ID_RULE}")
        return super().__new__(cls, text)


def shown(text: str, limit: int = 60) -> str:
    """`text` in quotes for a message: printable, on one line, of bounded length."""
    clean = ascii(text if len(text) <= limit else text[:limit])
    return clean if len(text) <= limit else f"{clean}... ({len(text)} characters)"


def nearest(text: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most like `text`, best first; empty when none comes near."""
    return difflib.get_close_matches(text, list(known), n=count, cutoff=0.5)
