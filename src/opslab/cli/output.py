"""Output of commands: results on stdout, everything else on stderr."""

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
    """Print columns as wide as their widest cell. right: indexes of the columns with numbers."""
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
    """Print names and values in two columns; a value of None is omitted."""
    shown = [(name, str(value)) for name, value in rows if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{name.ljust(width)}  {value}")


def note(text: str) -> None:
    """Print a line for the user on stderr."""
    print(f"tc: {text}", file=sys.stderr, flush=True)


def note_at_once(text: str) -> None:
    """As `note`, but unbuffered: safe in a signal handler."""
    os.write(2, f"\ntc: {text}\n".encode())


def print_help(text: str) -> None:
    """Print a help page that was not requested with --help."""
    print(text, file=sys.stderr)


def error(failure: LabError, as_json: bool) -> None:
    """Print the message, its details and the hint; with `as_json` also as a document on stdout."""
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
    location = ":".join(str(part) for part in (file, mistake["line"], mistake["column"]) if part is not None)
    name = f"{mistake['field']}: " if mistake["field"] else ""
    return f"{location}: {name}{mistake['message']}"
