"""`tc metrics`: metrics of the home for Prometheus."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opslab.cli.options import Home, Json
from opslab.cli.output import note, note_at_once, result, result_fields, result_json
from opslab.cli.plain_command import PlainGroup
from opslab.errors import Usage
from opslab.model.primitives.ids import RunId, shown

if TYPE_CHECKING:
    from opslab.lab.metrics.collector import Shown

DEFAULT_PORT = 9464
LOOPBACK = ("127.0.0.1", "::1")

app = typer.Typer(
    cls=PlainGroup,
    help="""Export metrics of all runs for Prometheus.

    They are read from the records of the runs; a run needs no exporter.""",
    no_args_is_help=True,
)

OnlyRuns = Annotated[
    list[str] | None,
    typer.Option("--run-id", metavar="ID", help="Show only this run in full. Repeatable.", show_default=False),
]
Newest = Annotated[
    int,
    typer.Option(
        "--newest",
        metavar="N",
        min=0,
        max=10_000,
        help="Ended runs shown in full, besides those that need an acknowledgement.",
    ),
]


@app.command()
def serve(
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Address to listen on [default: 127.0.0.1 and ::1]"),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port; 0: any free port.")
    ] = DEFAULT_PORT,
    run_id: OnlyRuns = None,
    newest: Newest = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Serve /metrics until Ctrl-C or SIGTERM.

    Also /healthz and /readyz. Nothing is written except an index of the runs and the counters of their ends.
    """
    from opslab.lab.context import open_context
    from opslab.lab.metrics import serve as metrics
    from opslab.system import StopSignals

    hosts = LOOPBACK if host is None else (_address(host),)
    context = open_context(home)
    with StopSignals() as signals:

        def listening(addresses: list[tuple[str, int]], stop: Callable[[], None]) -> None:
            signals.on_signal = lambda _count: stop()
            if signals.count:
                stop()
            _announce(addresses, as_json)

        signals.announce = lambda signal, _count: note_at_once(f"{signal}: closing the exporter")
        metrics.serve(context, _shown(run_id, newest), hosts, port, listening)


@app.command()
def export(
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write to this file, atomically.", show_default=False),
    ] = None,
    openmetrics: Annotated[bool, typer.Option("--openmetrics", help="In the OpenMetrics format.")] = False,
    run_id: OnlyRuns = None,
    newest: Newest = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the metrics once.

    With --output for the textfile collector of node_exporter.
    """
    from opslab.lab.context import open_context
    from opslab.lab.metrics import serve as metrics

    text = metrics.export(open_context(home), _shown(run_id, newest), "openmetrics" if openmetrics else "text")
    if output is not None:
        metrics.write_export(output, text)
        lines = [line for line in text.splitlines() if not line.startswith(b"#")]
        if as_json:
            result_json({"file": str(output), "samples": len(lines), "size_bytes": len(text)})
        else:
            note(f"{len(lines):,} samples written to {output}")
    elif as_json:
        result_json(metrics.document(text))
    else:
        sys.stdout.write(text.decode())


def _shown(run_ids: list[str] | None, newest: int) -> "Shown":
    from opslab.lab.metrics.collector import Shown

    return Shown(newest, frozenset(str(RunId(run_id)) for run_id in run_ids or ()))


def _announce(addresses: list[tuple[str, int]], as_json: bool) -> None:
    import ipaddress
    import json

    urls = [f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in addresses]
    document = {"metrics": f"{urls[0]}/metrics", "healthz": f"{urls[0]}/healthz", "readyz": f"{urls[0]}/readyz"}
    if as_json:
        result(json.dumps({**document, "addresses": urls}))
    else:
        result_fields([*document.items(), ("also", ", ".join(urls[1:]) or None)])
    sys.stdout.flush()
    if not all(ipaddress.ip_address(host).is_loopback for host, _ in addresses):
        note("warning: it answers other machines, without authentication")


def _address(text: str) -> str:
    """An address to listen on. Raises Usage."""
    import ipaddress

    if text == "localhost":
        return LOOPBACK[0]
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise Usage(
            f"--host {shown(text)} is not an address", hint="an IP address, such as 127.0.0.1, ::1 or 0.0.0.0"
        ) from None
