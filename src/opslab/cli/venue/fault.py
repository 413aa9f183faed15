"""`tc venue fault`: break a venue that is served, on purpose."""

from typing import Annotated, Any

import typer

from opslab.cli.options import Home, Json
from opslab.cli.output import note, result_fields, result_json, result_table
from opslab.errors import Usage
from opslab.model.primitives.ids import shown

app = typer.Typer(help="Faults of a venue that is served: begun, ended, and ended by themselves.", no_args_is_help=True)

Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the venue.", show_default=False)]


@app.command("list")
def list_(
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="A served venue: list what is held there instead.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the faults there are, with their terms; or those that a venue holds."""
    from opslab.lab import open_lab

    lab = open_lab(home)
    if name is not None:
        held = lab.venue_control(name, "held")
        if as_json:
            result_json(held)
        elif held:
            result_table(
                ("NUMBER", "FAULT", "LEFT", "TERMS"),
                [
                    (str(one["number"]), one["fault"], f"{one['remaining_seconds']:.1f} s", terms_text(one["terms"]))
                    for one in held
                ],
                right=(0, 2),
            )
        else:
            note(f"venue {name} holds no fault")
        return
    known = lab.faults()
    if as_json:
        result_json(known)
        return
    result_table(
        ("FAULT", "TERMS", "DOES"),
        [
            (one["name"], terms_text({k: v["default"] for k, v in one["terms"].items()}), one["summary"])
            for one in known
        ],
    )


@app.command()
def start(
    fault: Annotated[str, typer.Argument(metavar="FAULT", help="Name of the fault.", show_default=False)],
    name: Name,
    term: Annotated[
        list[str] | None, typer.Option("--term", metavar="KEY=VALUE", help="A term of the fault. Repeatable.")
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", help="When it ends by itself, at most 3600.")
    ] = 30.0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Begin a fault. It ends by `stop`, after --seconds, or with the venue."""
    from opslab.lab import open_lab

    held = open_lab(home).start_fault(name, fault, _terms(term or []), seconds)
    if as_json:
        result_json(held)
    else:
        left = held["remaining_seconds"]
        result_fields(
            (
                ("number", held["number"]),
                ("fault", held["fault"]),
                ("terms", terms_text(held["terms"])),
                ("ends", "it is over at once" if left is None else f"in {left:.1f} s"),
            )
        )


@app.command()
def stop(
    name: Name,
    number: Annotated[
        int | None, typer.Argument(metavar="NUMBER", help="Of the fault, as `start` told it.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are held.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """End a fault, or all that are held."""
    from opslab.lab import open_lab

    if (number is None) != every:
        raise Usage("give the number of a fault, or --all", hint=f"tc venue fault list --name {shown(name)}")
    lab = open_lab(home)
    answer = lab.venue_control(name, "stop_all") if number is None else lab.venue_control(name, "stop", number=number)
    if as_json:
        result_json(answer)
    else:
        result_fields((key, terms_text(value) if isinstance(value, dict) else value) for key, value in answer.items())


def _terms(given: list[str]) -> dict[str, str]:
    terms: dict[str, str] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise Usage(f"--term {shown(pair)} is no KEY=VALUE", hint="such as --term stream=btcusdt@kline_1m")
        terms[key.replace("-", "_")] = value
    return terms


def terms_text(terms: dict[str, Any]) -> str:
    return " ".join(f"{key}={'-' if value is None else value}" for key, value in terms.items())
