"""Options that several commands share."""

import os
import pwd
from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    str | None,
    typer.Option(
        "--home", metavar="FOLDER", help="Folder of data/, artifacts/ and runtime/ [default: $TC_HOME, tc.toml, .]"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Spec = Annotated[Path, typer.Option("--spec", metavar="FILE", help="Run spec, a YAML file.")]
Dataset = Annotated[str, typer.Option("--dataset", metavar="NAME", help="Name of the dataset.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 when a completed run has warnings.")]
RunIdOption = Annotated[
    str | None,
    typer.Option("--run-id", metavar="ID", help="Name of the run [default: the spec's, else generated from the time]"),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Reason, up to 500 characters.")]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="Name of the actor [default: the login name].")
]


def login_name() -> str:
    """The default of `--actor`."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"
