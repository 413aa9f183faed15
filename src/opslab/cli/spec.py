"""`tc spec`: validate run specs, print their schema."""

from typing import Annotated

import typer

from opslab.cli.options import Json, Spec
from opslab.cli.output import note, result, result_json
from opslab.cli.plain_command import PlainGroup

app = typer.Typer(cls=PlainGroup, help="Validate run specs, print their schema.", no_args_is_help=True)


@app.command()
def validate(spec: Spec, as_json: Json = False) -> None:
    """Validate a run spec.

    Reports every mistake with file and line. A user strategy is loaded in a child process.
    """
    from opslab.lab.spec import validate_spec

    loaded, keys = validate_spec(spec)
    if as_json:
        document = {"valid": True, "file": loaded.file, "spec": loaded.spec.model_dump(mode="json")}
        result_json({**document, "config_keys": keys})
    else:
        result(f"{loaded.file}: valid")
        note(f"hint: tc run {loaded.spec.mode} --spec {loaded.file}")


@app.command()
def schema(
    as_json: Annotated[bool, typer.Option("--json", help="No effect: the schema is always JSON.")] = False,
) -> None:
    """Print the JSON Schema of a run spec.

    Editors use it to complete and mark fields.
    """
    from opslab.lab.spec import spec_schema

    result_json(spec_schema())
