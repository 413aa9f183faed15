"""Every exception of the lab, in one tree.

An exception says "could not do it"; what was done and found is a verdict, never an exception.

    LabError                   exit 70  (base; a bare one is a bug)
    ├── Usage                  exit 2   the command line or a name in it is wrong
    │   ├── BadId              exit 2   a run id or dataset id that cannot be one
    │   ├── InvalidSpec        exit 2   a run spec with mistakes, all of them listed
    │   └── InvalidSnapshots   exit 2   files that are no account snapshots (in reconciliation/snapshot.py)
    ├── BadData                exit 1   candles that were read and found wrong
    ├── Refused                exit 4   refused or stopped by the kill switch
    ├── Environment            exit 5   the machine does not have it or does not let us
    │   ├── NotFound           exit 5
    │   ├── AlreadyExists      exit 5
    │   └── Unwritable         exit 5   read-only, full, or not a folder
    └── Corrupt                exit 6   stored data is broken or was changed
        ├── DataChanged        exit 6   candles differ from the fingerprint that was promised
        └── OtherFormat        exit 6   a run recorded in another format than this version reads
"""

from collections.abc import Sequence


class LabError(Exception):
    """Base of all: one message, one next step, one exit code."""

    exit_code = 70

    def __init__(self, message: str, *, hint: str | None = None, brief: str | None = None) -> None:
        """brief: the message without the name of the run, for a table whose row has the name."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.brief = brief or message
        self.lines: tuple[str, ...] = ()
        """More for a person to read, below the message."""

    def details(self) -> dict[str, object]:
        """More fields for `--json`; none by default."""
        return {}


class Usage(LabError):
    exit_code = 2


class BadId(Usage):
    pass


class Mistake:
    """One thing wrong in a file. `line` and `column` count from 1; None where the file has no such place."""

    __slots__ = ("column", "field", "line", "message")

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None, field: str = "") -> None:
        self.message = message
        self.line = line
        self.column = column
        self.field = field

    def as_dict(self) -> dict[str, object]:
        return {"line": self.line, "column": self.column, "field": self.field, "message": self.message}


class InvalidSpec(Usage):
    """A run spec with at least one mistake; `mistakes` in the order of the file."""

    def __init__(self, file: str, mistakes: Sequence[Mistake], *, hint: str | None = None) -> None:
        count = len(mistakes)
        super().__init__(
            f"{file}: {count} mistake{'s' if count != 1 else ''} in the run spec",
            hint=hint or "tc spec schema prints every field",
        )
        self.file = file
        self.mistakes = tuple(mistakes)

    def details(self) -> dict[str, object]:
        return {"file": self.file, "mistakes": [mistake.as_dict() for mistake in self.mistakes]}


class BadData(LabError):
    """Candles with errors. `findings` are ready for JSON, `total` counts those beyond the cap as well."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        lines: Sequence[str] = (),
        findings: Sequence[dict[str, object]] = (),
        counts: dict[str, int] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.lines = tuple(lines)
        self.findings = tuple(findings)
        self.counts = counts or {}

    def details(self) -> dict[str, object]:
        return {"counts": self.counts, "findings": list(self.findings)}


class Refused(LabError):
    exit_code = 4


class Environment(LabError):
    exit_code = 5


class NotFound(Environment):
    pass


class AlreadyExists(Environment):
    """Something stands there. `differences`, where it was asked for as another: ready for JSON."""

    def __init__(self, message: str, *, differences: Sequence[dict[str, object]] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.differences = tuple(differences)
        self.lines = tuple(
            f"{found['field']}: {found['before']} there, {found['after']} asked" for found in differences
        )

    def details(self) -> dict[str, object]:
        return {"differences": list(self.differences)} if self.differences else {}


class Unwritable(Environment):
    pass


class Corrupt(LabError):
    """Stored data that is broken.

    `file`, `line` (from 1) and `byte` (from 0) say where in a run's folder, `what` says it without the place,
    `is_missing` whether the file does not exist or is empty.
    """

    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        byte: int | None = None,
        what: str | None = None,
        is_missing: bool = False,
        hint: str | None = None,
        brief: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, brief=brief or (f"{file} {what}" if file and what else None))
        self.file = file
        self.line = line
        self.byte = byte
        self.what = what or message
        self.is_missing = is_missing

    def details(self) -> dict[str, object]:
        return {"file": self.file, "line": self.line, "byte": self.byte} if self.file else {}


class DataChanged(Corrupt):
    pass


class OtherFormat(Corrupt):
    """A run that was recorded in another format than this version reads."""

    def __init__(self, run_id: str, file: str, recorded: object, readable: int) -> None:
        """recorded: the format in the file. readable: the one that this version reads."""
        by = "an unreleased earlier version" if recorded == 1 else "another version"
        what = f"was recorded by {by} (format {recorded}); this tc reads format {readable}"
        super().__init__(
            f"run {run_id} {what}",
            file=file,
            what=what,
            brief=what,
            hint=f"to have it in format {readable}, run its spec again under another --run-id",
        )
