"""Command groups whose help shows arguments without types, and commands that do not load pydantic.

Typer converts every parameter with pydantic, which is slow to load; text and flag options need no conversion.
"""

from typing import Any

from typer.core import TyperCommand, TyperGroup


class NoCommandGiven(Exception):
    """A group was called without a command; `help_text` is its help page."""

    def __init__(self, help_text: str) -> None:
        super().__init__("no command given")
        self.help_text = help_text


class _Unconverted:
    """Replaces the pydantic adapter that typer builds, for text options and for `--help`."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        return value


class PlainCommand(TyperCommand):
    """`@app.command(cls=PlainCommand)`; its groups up to the root must be PlainGroup."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _plain(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """`typer.Typer(cls=PlainGroup)`, for every group."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _plain(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command: Any = super().get_command(ctx, cmd_name)
        if command is not None:
            for param in command.params:
                if param.param_type_name == "argument":
                    _show_without_type(param)
        return command

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises NoCommandGiven: a type of its own, because the parser's error is known only by its text."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            raise NoCommandGiven(ctx.get_help())
        return super().parse_args(ctx, args)


def _plain(params: list[Any]) -> list[Any]:
    for param in params:
        # a private name of typer: if it changes, this has no effect but start-up time, and a test fails
        if param.type_descriptor.annotation in (str, bool):
            param._runtime_param = _Unconverted()
    return params


def _show_without_type(argument: Any) -> None:
    """`PATH...`, not `PATH <list[Path]>`; in the usage line `[PATH...]` if it is optional."""
    name = argument.display_name_raw
    argument.display_type_rich = lambda ctx: None
    argument.get_usage_pieces = lambda ctx: [name if argument.required else f"[{name}]"]
