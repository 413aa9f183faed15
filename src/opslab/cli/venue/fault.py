"""`tc venue fault`: inject faults into a served venue."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli.options import Home, Json
from opslab.cli.output import note, result_fields, result_json, result_table
from opslab.cli.plain_command import PlainGroup
from opslab.errors import Usage
from opslab.model.primitives.ids import shown

if TYPE_CHECKING:
    from opslab.lab.venue.fault import FaultStatus

app = typer.Typer(
    cls=PlainGroup,
    help="""Inject faults into a served venue.

    A fault ends by `stop`, after its time, or with the venue.""",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the venue.", show_default=False)]


@app.command("list")
def list_(
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of a served venue: list its active faults.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List all faults, or a venue's active ones.

    A parameter is set by `--term` of `tc venue fault start`; the list shows the defaults.
    """
    from opslab.lab.context import open_context
    from opslab.lab.venue.fault import active_faults, all_faults

    context = open_context(home)
    if name is not None:
        active = active_faults(context, name)
        if as_json:
            result_json(active)
        elif active:
            result_table(
                ("NUMBER", "FAULT", "REMAINING", "PARAMETERS"),
                [
                    (str(row["number"]), row["fault"], f"{row['remaining_seconds']:.1f} s", terms_text(row["terms"]))
                    for row in active
                ],
                right=(0, 2),
            )
        else:
            note(f"venue {name} has no active fault")
        return
    faults = all_faults()
    if as_json:
        result_json(faults)
        return
    result_table(
        ("FAULT", "PARAMETERS", "EFFECT"),
        [
            (
                fault["name"],
                terms_text({term: field["default"] for term, field in fault["terms"].items()}),
                fault["summary"],
            )
            for fault in faults
        ],
    )


@app.command()
def start(
    fault: Annotated[str, typer.Argument(metavar="FAULT", help="Name of the fault.", show_default=False)],
    name: Name,
    term: Annotated[
        list[str] | None, typer.Option("--term", metavar="KEY=VALUE", help="Parameter of the fault; repeatable.")
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="Duration, at most 3600.")] = 30.0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Start a fault.

    It ends by `stop`, after --seconds, or with the venue.
    """
    from opslab.lab.context import open_context
    from opslab.lab.venue.fault import start_fault

    active = start_fault(open_context(home), name, fault, _terms(term or []), seconds)
    _print(active, _fault_fields(active), as_json)


@app.command()
def stop(
    name: Name,
    number: Annotated[
        int | None,
        typer.Argument(metavar="NUMBER", help="Number of the fault, printed by `start`.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Stop all active faults.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Stop one active fault, or all."""
    from opslab.lab.context import open_context
    from opslab.lab.venue.fault import stop_all_faults, stop_fault

    if (number is None) != every:
        raise Usage("needs the number of a fault, or --all", hint=f"tc venue fault list --name {shown(name)}")
    context = open_context(home)
    if number is None:
        counts = stop_all_faults(context, name)
        _print(counts, counts.items(), as_json)
    else:
        stopped = stop_fault(context, name, number)
        _print(stopped, _fault_fields(stopped), as_json)


def _print(document: object, fields: Iterable[tuple[str, Any]], as_json: bool) -> None:
    if as_json:
        result_json(document)
    else:
        result_fields(fields)


def _fault_fields(fault: "FaultStatus") -> Iterator[tuple[str, Any]]:
    """Rows of one fault; `ends` is the time that it had or has left."""
    remaining_seconds = fault["remaining_seconds"]
    yield "number", fault["number"]
    yield "fault", fault["fault"]
    yield "parameters", terms_text(fault["terms"])
    yield "ends", "immediately" if remaining_seconds is None else f"in {remaining_seconds:.1f} s"


def _terms(given: list[str]) -> dict[str, str]:
    terms: dict[str, str] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise Usage(f"--term {shown(pair)} is not KEY=VALUE", hint="example: --term stream=btcusdt@kline_1m")
        terms[key.replace("-", "_")] = value
    return terms


def terms_text(terms: Mapping[str, object]) -> str:
    return " ".join(f"{key}={'-' if value is None else value}" for key, value in terms.items())
