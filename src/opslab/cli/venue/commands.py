"""`tc venue`: serve the loopback exchange for any client, and audit its ledger."""

import sys
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli.options import Dataset, Home, Json
from opslab.cli.output import note, note_at_once, result, result_fields, result_json
from opslab.cli.plain_command import PlainGroup
from opslab.cli.venue import fault as venue_fault
from opslab.cli.venue.fault import terms_text
from opslab.errors import Usage
from opslab.model.primitives.ids import shown

if TYPE_CHECKING:
    from opslab.model.messages.venue_messages import Start, VenueEndpoints, VenueProgress

app = typer.Typer(
    cls=PlainGroup,
    help="""Serve and audit a loopback exchange.

    It has the interface of Binance USD-M futures; clients connect to it as to Binance.""",
    no_args_is_help=True,
)

app.add_typer(venue_fault.app, name="fault")

STARTS = ("kline", "any", "now")
MAX_SPEED = 1_000_000

Speed = Annotated[
    str, typer.Option("--speed", metavar="N|max", help="Market minutes per minute; max: as fast as the clients read.")
]
NewName = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Account name; an existing account is resumed [default: generated]"),
]
StartOption = Annotated[
    str,
    typer.Option(
        "--start",
        metavar="|".join(STARTS),
        help="Replay start: first candle subscription, first subscription to any stream, or at once.",
    ),
]


@app.command()
def serve(
    dataset: Dataset,
    speed: Speed = "1",
    name: NewName = None,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port; 0: any free port.")] = 0,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Loopback address.")] = "127.0.0.1",
    start: StartOption = "kline",
    max_bars: Annotated[
        int | None,
        typer.Option("--max-bars", metavar="N", min=1, help="Number of candles after which the market stops."),
    ] = None,
    ticks: Annotated[
        int | None,
        typer.Option("--ticks", metavar="N", min=4, max=60_000, help="Simulated trades per minute [default: 30]"),
    ] = None,
    latency: Annotated[int, typer.Option("--latency-ms", metavar="MS", min=0, max=60_000, help="Order latency.")] = 0,
    balance: Annotated[
        str | None, typer.Option("--balance", metavar="USDT", help="Opening balance [default: 100000]")
    ] = None,
    leverage: Annotated[
        int | None, typer.Option("--leverage", metavar="N", min=1, max=125, help="Leverage [default: 10]")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Serve the venue until Ctrl-C or SIGTERM.

    Prints its URLs and a throw-away API key.
    """
    from opslab.lab.context import open_context
    from opslab.lab.venue import service
    from opslab.lab.venue.service import VenueOptions
    from opslab.system import StopSignals

    context = open_context(home)
    options = VenueOptions(
        dataset=dataset,
        name=name,
        host=_host(host),
        port=port,
        speed=_speed(speed),
        start=_start(start),
        max_bars=max_bars,
        ticks_per_minute=ticks,
        latency_ms=latency,
        balance=_balance(balance),
        leverage=leverage,
    )
    with StopSignals() as signals:
        signals.announce = lambda signal, count: note_at_once(
            f"{signal}: {'closing the venue; a second signal kills it' if count == 1 else 'killing the venue'}"
        )
        last = service.serve(context, options, signals, _TerminalObserver(as_json))
    if last:
        failed = f", {last.failed_ledger_writes:,} ledger writes failed" if last.failed_ledger_writes else ""
        note(f"closed after {last.minutes:,} candles; position {last.position}, {last.open_orders} open orders{failed}")


@app.command("audit")
def audit_(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the venue, or of a paper run.", show_default=False)
    ],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Audit a venue's ledger.

    Proves from the ledger alone that every amount of money and every quantity has a source.
    """
    from opslab.lab.context import open_context
    from opslab.lab.venue.service import audit_venue

    audit = audit_venue(open_context(home).layout, name)
    document: dict[str, Any] = {
        "venue": name,
        "proven": audit.proven,
        "transactions": audit.transactions,
        "orders": audit.orders,
        "open_orders": audit.open_orders,
        "trades": audit.trades,
        "start": f"{audit.start:f}",
        "wallet": f"{audit.wallet:f}",
        "position": f"{audit.position:f}",
        "cost": f"{audit.cost:f}",
        "fees": f"{audit.fees:f}",
        "finding_count": audit.finding_count,
        "findings": [
            {"line": finding.line, "rule": finding.rule, "detail": finding.detail} for finding in audit.findings
        ],
    }
    if as_json:
        result_json(document)
    else:
        rows = {**document, "proven": "yes" if audit.proven else f"no, {audit.finding_count} findings"}
        result_fields(
            (key.replace("_", " "), value) for key, value in rows.items() if key not in ("findings", "finding_count")
        )
        for finding in audit.findings:
            result(finding.text())
    raise typer.Exit(0 if audit.proven else 6)


class _TerminalObserver:
    """Prints the endpoints on stdout, progress and log events on stderr."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._state: str | None = None
        self._failed_writes = 0

    def listening(self, name: str, endpoints: "VenueEndpoints", resumes: bool) -> None:
        urls_and_key = endpoints.model_dump()
        if self._as_json:
            import json

            result(json.dumps(urls_and_key))
        else:
            result_fields(urls_and_key.items())
        sys.stdout.flush()
        note(f"venue {name} {'resumes its account' if resumes else 'is open'}; --name {name} resumes it later")

    def progress(self, progress: "VenueProgress") -> None:
        failed = progress.failed_ledger_writes
        if failed > self._failed_writes and failed >= 2 * self._failed_writes:  # a full disk fails every request
            self._failed_writes = failed
            note(f"the ledger cannot be written (failed writes: {failed:,}); check the free space of its disk")
        if progress.state == self._state:
            return
        self._state = progress.state
        texts = {
            "holding": "the market waits for the first subscription",
            "replaying": "the replay has started",
            "ended": f"the replay has ended at {progress.last_open}; orders are still served",
        }
        note(texts[progress.state])

    def log(self, event: str, fields: dict[str, Any]) -> None:
        texts = {key: terms_text(value) if isinstance(value, dict) else value for key, value in fields.items()}
        note(f"{event.replace('_', ' ')}: {', '.join(f'{key} {value}' for key, value in texts.items())}")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1 <= speed <= MAX_SPEED:
        raise Usage(f"--speed {shown(text)} is invalid", hint=f"a number from 1 to {MAX_SPEED:,}, or max")
    return speed


def _start(text: str) -> "Start":
    for known in STARTS:
        if text == known:
            return known  # type: ignore[return-value]
    raise Usage(f"--start {shown(text)} is invalid", hint=f"one of {', '.join(STARTS)}")


def _host(text: str) -> str:
    import ipaddress

    try:
        loopback = text == "localhost" or ipaddress.ip_address(text).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise Usage(
            f"--host {shown(text)} is not a loopback address",
            hint="127.0.0.1 or ::1; the venue serves this machine only",
        )
    return "127.0.0.1" if text == "localhost" else text


def _balance(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    exponent = amount.as_tuple().exponent
    if not (amount.is_finite() and 0 < amount <= 10**12 and isinstance(exponent, int) and -8 <= exponent <= 12):
        raise Usage(f"--balance {shown(text)} is invalid", hint="above 0, at most 8 decimals, for example 100000")
    return amount
