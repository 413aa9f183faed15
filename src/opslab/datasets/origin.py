"""Where the rows of a batch came from: file and line."""

from dataclasses import dataclass
from typing import Protocol


class Origin(Protocol):
    """Where the rows of a batch came from."""

    def place(self, row: int) -> tuple[str, int]:
        """File name and line (row number in columnar files), both as a person counts them."""
        ...


@dataclass(frozen=True, slots=True)
class ConsecutiveRows:
    """Rows that stand one after the other in one file."""

    file: str
    first_line: int

    def place(self, row: int) -> tuple[str, int]:
        return self.file, self.first_line + row
