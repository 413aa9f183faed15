"""Every help page: a summary of one short line, no cut lines, no Python types."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from opslab.cli.app import app
from opslab.cli.plain_command import NoCommandGiven, PlainGroup

MAX_SUMMARY_CHARACTERS = 50
COLUMNS = 80
TYPE = re.compile(r"<[a-z]")
"""`<str>`, `<list[Path]>`: how typer shows the type of a parameter without a metavar."""


def command_tree(command: Any, parent: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(path, its context) of a command and of every command below it."""
    context = command.make_context(name, ["--help"], parent, resilient_parsing=True, terminal_width=COLUMNS)
    yield context.command_path, context
    if isinstance(command, PlainGroup):
        for child in command.list_commands(context):
            yield from command_tree(command.get_command(context, child), context, child)


PAGES = dict(command_tree(typer.main.get_command(app), None, "tc"))
GROUPS = [path for path, context in PAGES.items() if isinstance(context.command, PlainGroup)]


def commands_table(page: str) -> list[str]:
    _, _, table = page.partition("\nCommands:\n")
    return [line for line in table.splitlines() if line.strip()]


def test_the_tree_is_complete() -> None:
    assert {"tc", "tc run paper", "tc data import", "tc venue fault start"} <= PAGES.keys()
    assert {"tc", "tc data", "tc kill", "tc run", "tc venue", "tc venue fault"} <= set(GROUPS)


@pytest.mark.parametrize("path", PAGES)
def test_the_summary_is_one_short_line_that_starts_with_a_capital(path: str) -> None:
    summary = (PAGES[path].command.help or "").strip().split("\n\n")[0]
    assert summary
    assert "\n" not in summary
    assert len(summary) <= MAX_SUMMARY_CHARACTERS, summary
    assert summary[0].isupper()


@pytest.mark.parametrize("path", PAGES)
def test_no_metavar_is_a_python_type(path: str) -> None:
    page = PAGES[path].get_help()
    assert not TYPE.search(page), page
    assert "{" not in page.splitlines()[0]


@pytest.mark.parametrize("path", GROUPS)
def test_no_line_of_the_commands_table_is_cut(path: str) -> None:
    lines = commands_table(PAGES[path].get_help())
    assert len(lines) == len(PAGES[path].command.list_commands(PAGES[path]))
    assert not [line for line in lines if line.endswith("...") or len(line) > COLUMNS]


@pytest.mark.parametrize("path", GROUPS)
def test_a_group_without_a_command_raises_its_own_type_with_its_help(path: str) -> None:
    context = PAGES[path]
    with pytest.raises(NoCommandGiven) as caught:
        context.command.make_context(context.info_name, [], context.parent, terminal_width=COLUMNS)
    assert caught.value.help_text == context.get_help()


@pytest.mark.parametrize("text", ["Usage: wrong", "no such command"])
def test_the_wording_of_a_usage_error_decides_nothing(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from opslab.cli.app import _usage

    assert _usage(typer.TyperException(text)) == 2
    assert capsys.readouterr().err == f"tc: error: {text[0].lower()}{text[1:]}\ntc: hint: tc --help\n"
