"""Origin of the rows of a batch: file and line."""

from dataclasses import dataclass
from typing import Protocol


class Origin(Protocol):
    """Origin of the rows of a batch."""

    def location(self, row: int) -> tuple[str, int]:
        """(file name, line), counted from 1; in columnar files the row number."""
        ...


@dataclass(frozen=True, slots=True)
class ConsecutiveRows:
    """Consecutive rows of one file."""

    file: str
    first_line: int

    def location(self, row: int) -> tuple[str, int]:
        return self.file, self.first_line + row
