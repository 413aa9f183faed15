"""What a person or a program reads: results on stdout, everything else on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from opslab.errors import InvalidSpec, LabError


def result(text: str) -> None:
    print(text)


def result_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def result_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> None:
    """Columns, as wide as their widest cell. `right`: indexes of columns that are numbers."""
    body = [tuple(row) for row in rows]
    widths = [max(len(row[index]) for row in [headings, *body]) for index in range(len(headings))]
    numeric = set(right)
    for row in [tuple(headings), *body]:
        cells = [
            cell.rjust(width) if i in numeric else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def result_fields(rows: Iterable[tuple[str, Any]]) -> None:
    """Names and values in two columns; values of None are left out."""
    shown = [(name, str(value)) for name, value in rows if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{name.ljust(width)}  {value}")


def note(text: str) -> None:
    """A line for the person at the terminal."""
    print(f"tc: {text}", file=sys.stderr, flush=True)


def note_at_once(text: str) -> None:
    """As `note`, past all buffers: safe in a signal handler."""
    os.write(2, f"\ntc: {text}\n".encode())


def print_help(text: str) -> None:
    """A help page that nobody asked for by name."""
    print(text, file=sys.stderr)


def error(failure: LabError, as_json: bool) -> None:
    """One clear message, its details, the next step; with `as_json` the same as a document on stdout."""
    note(f"error: {failure.message}")
    for line in _lines(failure):
        print(f"  {line}", file=sys.stderr)
    if failure.hint:
        note(f"hint: {failure.hint}")
    if as_json:
        details = {"message": failure.message, "hint": failure.hint, "exit_code": failure.exit_code}
        result_json({"error": {**details, **failure.details()}})


def _lines(failure: LabError) -> list[str]:
    if isinstance(failure, InvalidSpec):
        return [mistake_line(failure.file, mistake.as_dict()) for mistake in failure.mistakes]
    return list(failure.lines)


def mistake_line(file: str, mistake: dict[str, object]) -> str:
    """`spec.yaml:4:3: data.dataset: is missing`."""
    place = ":".join(str(part) for part in (file, mistake["line"], mistake["column"]) if part is not None)
    name = f"{mistake['field']}: " if mistake["field"] else ""
    return f"{place}: {name}{mistake['message']}"
