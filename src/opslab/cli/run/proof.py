"""`tc run verify`, `recover`, `report`: verify, settle and render runs."""

from typing import Annotated, Any

import typer

from opslab.cli.options import Home, Json
from opslab.cli.output import note, result, result_fields, result_json, result_table
from opslab.cli.progress import ProgressBar
from opslab.errors import Corrupt, Usage

MaybeRunId = Annotated[str | None, typer.Argument(metavar="ID", help="Name of the run.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All runs.")]


def verify(run_id: MaybeRunId = None, every: All = False, home: Home = None, as_json: Json = False) -> None:
    """Verify a run against its seal.

    No file may be changed, missing or added.
    """
    from opslab.lab.context import open_context
    from opslab.lab.run import verify as verification
    from opslab.lab.run.verify import EXIT_CODES, hint

    context = open_context(home)
    wanted = _one_or_all("verify", run_id, every)
    runs = verification.all_runs(context) if wanted is None else [verification.existing_run(context, wanted)]
    with ProgressBar("verify", "bytes", verification.size_to_verify(context, runs)) as progress:
        if every:
            found = verification.verify_all(context, runs, progress.add)
        else:
            found = [verification.verify(context, runs[0], progress.add)]
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in EXIT_CODES}
    documents: list[dict[str, Any]] = [{**one.model_dump(mode="json"), "hint": hint(one)} for one in found]
    if as_json:
        result_json({"runs": documents, "counts": counts} if every else documents[0])
    elif every:
        result_table(
            ("RUN", "VERDICT", "STATUS", "FILES", "BYTES", "FINDING"),
            [
                (one.run_id, one.verdict, one.status or "", f"{one.files:,}", f"{one.size_bytes:,}", one.message)
                for one in found
            ],
            right=(3, 4),
        )
    else:
        _show(documents[0])
    for next_step in dict.fromkeys(filter(None, map(hint, found))):
        note(f"hint: {next_step}")
    raise typer.Exit(max((EXIT_CODES[one.verdict] for one in found), default=0))


def recover(
    run_id: MaybeRunId = None,
    every: All = False,
    gone_host: Annotated[
        str | None,
        typer.Option("--gone-host", metavar="HOST", help="A lost machine that owned runs."),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Settle and seal a run whose owner died.

    A run whose owner is alive is never touched.
    """
    from opslab.lab.context import open_context
    from opslab.lab.run import recover as recovery
    from opslab.lab.run.traces import export_recovered

    context = open_context(home)
    wanted = _one_or_all("recover", run_id, every)
    done = (
        [(recovery.recover(context, wanted, gone_host), 0)]
        if wanted is not None
        else recovery.recover_all(context, gone_host)
    )
    if as_json:
        result_json({"runs": [one.model_dump() for one, _ in done]})
    else:
        result_table(("RUN", "ACTION", "REASON"), [(one.run_id, one.action, one.message) for one, _ in done])
    if failure := export_recovered(context, [one for one, _ in done]):
        note(failure)
    broken = any(code == Corrupt.exit_code for _, code in done)
    unable = any(one.action == "unwritable" for one, _ in done)
    raise typer.Exit(Corrupt.exit_code if broken else 5 if unable else 0)


def report(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="Name of the run.", show_default=False)],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Render the derived files of a run again.

    metadata.json, report.md and report.html, from the journal.
    """
    from opslab.lab.context import open_context
    from opslab.lab.run.report import render

    metadata, names = render(open_context(home), run_id)
    files = [f"artifacts/runs/{metadata.run_id}/{name}" for name in names]
    if as_json:
        result_json({"run_id": metadata.run_id, "status": metadata.status, "files": files})
    else:
        for file in files:
            result(file)


def _one_or_all(command: str, run_id: str | None, every: bool) -> str | None:
    """The run; None for all."""
    if (run_id is None) != every:
        raise Usage(
            "give the name of a run or --all" if not every else "give the name of a run or --all, not both",
            hint=f"tc run {command} --help",
        )
    return run_id


def _show(one: dict[str, Any]) -> None:
    result_fields(
        [
            ("run", one["run_id"]),
            ("verdict", one["verdict"]),
            ("status", one["status"]),
            ("seal", one["seal"]),
            ("files", f"{one['files']:,}, {one['size_bytes']:,} bytes" if one["seal"] else None),
            ("result", one["message"] if not one["findings"] else None),
        ]
    )
    if one["findings"]:
        rows = [
            (found["kind"], found["file"], _text(found["line"]), _text(found["byte"]), found["message"])
            for found in one["findings"]
        ]
        result("")
        result_table(("KIND", "FILE", "LINE", "BYTE", "FINDING"), rows, right=(2, 3))


def _text(number: int | None) -> str:
    return "" if number is None else f"{number}"
