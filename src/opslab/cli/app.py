"""`tc`: all commands, and the only place where errors become text and exit codes."""

import io
import os
import sys
from typing import Annotated, NoReturn

import typer

from opslab import __version__
from opslab.cli import connectivity, data, kill, metrics, reconcile, spec
from opslab.cli.drill import commands as drill
from opslab.cli.output import error, note, print_help, result
from opslab.cli.plain_command import NoCommandGiven, PlainGroup
from opslab.cli.run import commands as run
from opslab.cli.venue import commands as venue
from opslab.errors import LabError, Usage

app = typer.Typer(
    name="tc",
    cls=PlainGroup,
    help="Operations lab for NautilusTrader.\n\nRepeat, watch, verify and stop runs on this machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(spec.app, name="spec")
app.add_typer(data.app, name="data")
app.add_typer(run.app, name="run")
app.add_typer(kill.app, name="kill")
app.add_typer(drill.app, name="drill")
app.add_typer(reconcile.app, name="reconcile")
app.add_typer(connectivity.app, name="connectivity")
app.add_typer(venue.app, name="venue")
app.add_typer(metrics.app, name="metrics")

INTERRUPTED = 130
BUG = 70


def _version(is_given: bool) -> None:
    if is_given:
        result(f"tc {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """The console script."""
    from opslab.system import ignore_signals, raise_on_signals

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character gets its code
            stream.reconfigure(errors="backslashreplace")
    code = BUG
    try:
        raise_on_signals()
        code = _run()
        sys.stdout.flush()
    except KeyboardInterrupt:  # while it printed how it ended
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    ignore_signals()
    sys.exit(code)


def _run() -> int:
    try:
        return app(standalone_mode=False, prog_name="tc") or 0
    except LabError as failure:
        if failure.exit_code == BUG:
            return _bug(failure)
        error(failure, "--json" in sys.argv)
        return failure.exit_code
    except NoCommandGiven as request:
        print_help(request.help_text)
        return Usage.exit_code
    except typer.TyperException as mistake:  # a usage error of the parser
        return _usage(mistake)
    except (KeyboardInterrupt, typer.Abort):
        note("interrupted; no partial result was recorded")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as bug:  # noqa: BLE001  (every other error is a bug)
        return _bug(bug)


def _usage(mistake: typer.TyperException) -> int:
    context = getattr(mistake, "ctx", None)
    command = context.command_path if context else "tc"
    text = mistake.format_message().strip()
    message = text[:1].lower() + text[1:].rstrip(".")
    error(Usage(message, hint=f"{command} --help"), "--json" in sys.argv)
    return Usage.exit_code


def _bug(bug: BaseException) -> int:
    from opslab.lab.crash import save_traceback

    note(f"error: this is a bug in tc: {type(bug).__name__}")
    note(f"hint: please report it with {save_traceback(bug)}")
    return BUG
