"""Validated ids as types; safe to join to a path."""

import difflib
import re
from collections.abc import Iterable
from typing import ClassVar, Self

from opslab.errors import BadId

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DATASET_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)

RUN_ID_RULE = "1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit, without '__', not ending in '.'"
DATASET_ID_RULE = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit, without '__', not ending in '.'"


class _Id(str):
    """Text that is safe by construction. `__` is reserved for pairs of names."""

    __slots__ = ()
    _pattern: ClassVar[re.Pattern[str]]
    _title: ClassVar[str]
    _rule: ClassVar[str]

    def __new__(cls, text: str) -> Self:
        if not cls.is_valid(text):
            raise BadId(f"{cls._title} {shown(text)} is not allowed", hint=cls._rule)
        return super().__new__(cls, text)

    @classmethod
    def is_valid(cls, text: str) -> bool:
        return bool(cls._pattern.fullmatch(text)) and "__" not in text and not text.endswith(".")


class RunId(_Id):
    """Name of a run and of its folder."""

    __slots__ = ()
    _pattern, _title, _rule = _RUN_ID, "run id", f"a run id is {RUN_ID_RULE}"


class DatasetId(_Id):
    """Name of a dataset and of its folder. Lower case, distinct on every file system."""

    __slots__ = ()
    _pattern, _title, _rule = _DATASET_ID, "dataset", f"a dataset name is {DATASET_ID_RULE}"


class VenueId(_Id):
    """Name of a venue that is served alone, and of its ledger's folder."""

    __slots__ = ()
    _pattern, _title, _rule = _RUN_ID, "venue name", f"a venue's name is {RUN_ID_RULE}"


def shown(text: str, limit: int = 60) -> str:
    """`text` in quotes for a message: printable, on one line, of bounded length."""
    quoted = ascii(text if len(text) <= limit else text[:limit])
    return quoted if len(text) <= limit else f"{quoted}... ({len(text)} characters)"


def nearest(text: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most similar to `text`, best first; empty when none is similar."""
    return difflib.get_close_matches(text, list(known), n=count, cutoff=0.5)
