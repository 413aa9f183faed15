"""Every exception of the lab, in one tree.

An exception means "could not do it". A check that was done and found a difference is a verdict, not an exception.

    LabError                   exit 70  (base; a bare one is a bug)
    ├── Usage                  exit 2   the command line or a name in it is wrong
    │   ├── BadId              exit 2   an invalid run id or dataset id
    │   ├── InvalidSpec        exit 2   a run spec with mistakes; all of them are listed
    │   └── InvalidSnapshots   exit 2   files that are not account snapshots (in reconciliation/snapshot.py)
    ├── BadData                exit 1   candles that were read and have errors
    ├── Refused                exit 4   refused or stopped by the kill switch
    ├── Environment            exit 5   missing, existing already, locked or not permitted on this machine
    │   ├── NotFound           exit 5
    │   ├── AlreadyExists      exit 5
    │   ├── NotStarted         exit 5   a drill's run that ended at its start (in drills/execution/stop_conditions.py)
    │   └── Unwritable         exit 5   read-only, full, or not a folder
    └── Corrupt                exit 6   stored data is broken or was changed
        ├── DataChanged        exit 6   candles do not have the recorded or required fingerprint
        └── OtherFormat        exit 6   a run that was recorded in another format
"""

from collections.abc import Sequence


class LabError(Exception):
    """Base class: one message, one hint, one exit code."""

    exit_code = 70

    def __init__(self, message: str, *, hint: str | None = None, brief: str | None = None) -> None:
        """brief: the message without the run's name, for a table whose row has the name."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.brief = brief or message
        self.lines: tuple[str, ...] = ()
        """Printed below the message."""

    def details(self) -> dict[str, object]:
        """Additional fields for `--json`; none by default."""
        return {}


class Usage(LabError):
    exit_code = 2


class BadId(Usage):
    pass


class Mistake:
    """One mistake in a file. `line` and `column` count from 1; None where the mistake has no position."""

    __slots__ = ("column", "field", "line", "message")

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None, field: str = "") -> None:
        self.message = message
        self.line = line
        self.column = column
        self.field = field

    def as_dict(self) -> dict[str, object]:
        return {"line": self.line, "column": self.column, "field": self.field, "message": self.message}


class InvalidSpec(Usage):
    """A run spec with at least one mistake; `mistakes` are in the order of the file."""

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
    """Candles with errors. `findings` are ready for JSON; `counts`: findings of each rule, unlisted ones included."""

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
    """It exists already. `differences` between the existing and the requested one are ready for JSON."""

    def __init__(self, message: str, *, differences: Sequence[dict[str, object]] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.differences = tuple(differences)
        self.lines = tuple(
            f"{difference['field']}: {difference['before']} exists, {difference['after']} requested"
            for difference in differences
        )

    def details(self) -> dict[str, object]:
        return {"differences": list(self.differences)} if self.differences else {}


class Unwritable(Environment):
    pass


class Corrupt(LabError):
    """Stored data that is broken.

    `file`, `line` (from 1) and `byte` (from 0): location in the run's folder. `problem`: the message without run and
    file. `is_missing`: the file does not exist or is empty.
    """

    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        byte: int | None = None,
        problem: str | None = None,
        is_missing: bool = False,
        hint: str | None = None,
        brief: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, brief=brief or (f"{file} {problem}" if file and problem else None))
        self.file = file
        self.line = line
        self.byte = byte
        self.problem = problem or message
        self.is_missing = is_missing

    def details(self) -> dict[str, object]:
        return {"file": self.file, "line": self.line, "byte": self.byte} if self.file else {}


class DataChanged(Corrupt):
    pass


class OtherFormat(Corrupt):
    """A run that was recorded in a format that this version does not read."""

    def __init__(self, run_id: str, file: str, recorded: object, readable: int) -> None:
        """recorded: the format of the file. readable: the format that this version reads."""
        by = "an unreleased earlier version" if recorded == 1 else "another version"
        problem = f"was recorded by {by} (format {recorded}); this tc reads format {readable}"
        super().__init__(
            f"run {run_id} {problem}",
            file=file,
            problem=problem,
            brief=problem,
            hint=f"to have it in format {readable}, run its spec again under another --run-id",
        )
