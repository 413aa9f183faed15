"""Commands and groups that load no pydantic for options which are texts and flags: there is nothing to convert."""

from typing import Any

from typer.core import TyperCommand, TyperGroup


class _AsGiven:
    """In the place of the pydantic adapter that typer builds, for texts and for `--help` too."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        return value


class PlainCommand(TyperCommand):
    """`@app.command(cls=PlainCommand)`; its groups up to the root have to be plain too."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _plain(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """`typer.Typer(cls=PlainGroup)`."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _plain(super().get_params(ctx))


def _plain(params: list[Any]) -> list[Any]:
    for param in params:
        # the name is typer's own; under another one, one day, it is slower, and a test says so
        if param.type_descriptor.annotation in (str, bool):
            param._runtime_param = _AsGiven()
    return params
