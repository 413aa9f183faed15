"""`tc drill`: failure drills."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from opslab.cli.drill.fields import show_record
from opslab.cli.drill.trend import show_trends
from opslab.cli.options import Home, Json
from opslab.cli.output import note, note_at_once, result, result_json, result_table
from opslab.cli.plain_command import PlainGroup
from opslab.errors import LabError, Usage

if TYPE_CHECKING:
    from opslab.lab.drill.run import DrillRecord

app = typer.Typer(
    cls=PlainGroup,
    help="""Break a running paper run on purpose.

    A drill states what must happen, breaks something real, and measures the reaction.""",
    no_args_is_help=True,
)

EXIT_CODES = {"pass": 0, "fail": 1, "unknown": 3}
INTERRUPTED = 130


@app.command("list")
def list_(
    last: Annotated[
        int | None, typer.Option("--last", metavar="N", min=1, help="Trend of the last N runs of each drill.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List all drills, with their last verdicts."""
    from opslab.lab.context import open_context
    from opslab.lab.drill.record import drill_rows, drill_trends

    context = open_context(home)
    if last is not None:
        trends = drill_trends(context, last)
        if as_json:
            result_json([trend.model_dump(mode="json") for trend in trends])
        else:
            show_trends(trends)
        return
    rows = drill_rows(context)
    if as_json:
        result_json(rows)
        return
    result_table(
        ("DRILL", "VERDICT", "ENDED", "DETECT", "RECOVER", "RUN", "WHAT IS BROKEN"),
        [
            (
                row["name"],
                row["verdict"] or "never run",
                (row["ended_at"] or "")[:19],
                _seconds(row["detect_seconds"]),
                _seconds(row["recover_seconds"]),
                row["run_id"] or "",
                row["title"],
            )
            for row in rows
        ],
        right=(3, 4),
    )


@app.command()
def run(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the drill.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Run all drills, one after the other.")] = False,
    spec: Annotated[
        Path | None,
        typer.Option("--spec", metavar="FILE", help="Paper spec of the runs [default: the lab's own demo strategy]"),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="S", help="Shortest duration of the fault [default: until it is detected]"),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Run a drill, without the fault and then with it.

    Both passes are paper runs of their own. The exit code is that of the verdict.
    """
    from opslab.lab.context import open_context
    from opslab.lab.drill.run import drill_names, plan_drill, run_drill
    from opslab.lab.drill.traces import export_drill
    from opslab.system import StopSignals

    if (name is None) != every:
        raise Usage("needs the name of a drill, or --all", hint="tc drill list")
    context = open_context(home)
    names = drill_names() if name is None else (name,)
    records: list[tuple[DrillRecord, str]] = []
    errors: list[LabError] = []
    is_interrupted = False
    with StopSignals() as signals:
        signals.announce = _announce
        for each in names:
            plan = plan_drill(context, each, spec, _duration(each, seconds) if every else seconds)
            note(f"drill {each}: runs {plan.control_id} and {plan.fault_id}")
            try:
                record, recorded_in = run_drill(context, plan, signals, lambda kind, text: note(f"{kind} pass: {text}"))
            except KeyboardInterrupt:  # before this drill had a run
                if not records:
                    raise
                is_interrupted = True
                break
            except LabError as failure:
                if not every:
                    raise
                note(f"error: {failure.message}")  # the other drills are carried out all the same
                errors.append(failure)
                continue
            records.append((record, recorded_in))
            note(f"drill {each}: {record.judgement.verdict}")
            if problem := export_drill(record):
                note(problem)
            if record.status == "interrupted":
                break
    _show(records, every, as_json)
    code = INTERRUPTED if is_interrupted else _exit_code([record for record, _ in records])
    raise typer.Exit(errors[0].exit_code if errors and code in (0, EXIT_CODES["unknown"]) else code)


@app.command()
def judge(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="Run with the fault of a drill.", show_default=False)],
    format_: Annotated[
        Literal["text", "markdown", "chaostoolkit"],
        typer.Option("--format", metavar="FORMAT", help="text, markdown, or a Chaos Toolkit journal."),
    ] = "text",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Judge a recorded drill again, from its history."""
    from opslab.lab.context import open_context
    from opslab.lab.drill.record import as_chaostoolkit, judge_again, markdown

    record, judgement = judge_again(open_context(home), run_id)
    if judgement.verdict != record.judgement.verdict:
        note(f"the recorded verdict is {record.judgement.verdict}")
    judged = record.model_copy(update={"judgement": judgement})
    if format_ == "chaostoolkit":
        result_json(as_chaostoolkit(judged))
    elif format_ == "markdown":
        result(markdown(judged).rstrip("\n"))
    elif as_json:
        result_json(judged.model_dump(mode="json"))
    else:
        show_record(record, judgement, run_id)
    raise typer.Exit(_exit_code([judged]))


def _show(records: "list[tuple[DrillRecord, str]]", every: bool, as_json: bool) -> None:
    if as_json:
        documents = [{"run_id": run_id, **record.model_dump(mode="json")} for record, run_id in records]
        result_json(documents if every else documents[0])
        return
    for record, run_id in records:
        show_record(record, record.judgement, run_id)


def _duration(name: str, seconds: float | None) -> float | None:
    """Of the faults of one drill of all."""
    from opslab.lab.drill.run import can_last

    if seconds is None or can_last(name):
        return seconds
    note(f"drill {name}: --seconds does not apply, the lab itself ends the fault")
    return None


def _exit_code(records: "list[DrillRecord]") -> int:
    if any(record.status == "interrupted" for record in records):
        return INTERRUPTED
    verdicts = {record.judgement.verdict for record in records}
    return next((EXIT_CODES[verdict] for verdict in ("fail", "unknown") if verdict in verdicts), 0)


def _announce(_name: str, count: int) -> None:
    if count == 1:
        note_at_once("ending the fault and the run; a second signal kills the run's processes")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"
