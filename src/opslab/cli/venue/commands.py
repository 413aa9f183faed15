"""`tc venue`: the loopback exchange, for any client."""

import sys
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli.options import Dataset, Home, Json
from opslab.cli.output import note, note_at_once, result, result_fields, result_json
from opslab.cli.venue import fault as venue_fault
from opslab.cli.venue.fault import terms_text
from opslab.errors import Usage
from opslab.model.primitives.ids import shown

if TYPE_CHECKING:
    from opslab.model.messages.venue_messages import Start, VenueEndpoints, VenueProgress

app = typer.Typer(help="Serve a loopback exchange that clients take for Binance USD-M futures.", no_args_is_help=True)

app.add_typer(venue_fault.app, name="fault")

STARTS = ("kline", "any", "now")
MAX_SPEED = 1_000_000


@app.command()
def serve(
    dataset: Dataset,
    speed: Annotated[
        str, typer.Option("--speed", metavar="N|max", help="Minutes of the market in a minute; max: as fast as read.")
    ] = "1",
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the account; one that exists goes on [default: made]."),
    ] = None,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 is any free port.")] = 0,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="A loopback address.")] = "127.0.0.1",
    start: Annotated[
        str,
        typer.Option(
            "--start", metavar="|".join(STARTS), help="What the replay waits for: candles or any stream subscribed to."
        ),
    ] = "kline",
    max_bars: Annotated[
        int | None, typer.Option("--max-bars", metavar="N", min=1, help="Close so many candles, then stand still.")
    ] = None,
    ticks: Annotated[
        int | None,
        typer.Option("--ticks", metavar="N", min=4, max=60_000, help="Trades drawn in a minute [default: 30]."),
    ] = None,
    latency: Annotated[
        int, typer.Option("--latency-ms", metavar="MS", min=0, max=60_000, help="How long an order is on its way.")
    ] = 0,
    balance: Annotated[
        str | None, typer.Option("--balance", metavar="USDT", help="What the account opens with [default: 100000].")
    ] = None,
    leverage: Annotated[
        int | None, typer.Option("--leverage", metavar="N", min=1, max=125, help="Of the account [default: 10].")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM. Prints where it is, and a throw-away key."""
    from opslab.lab import open_lab
    from opslab.runs.processes.venue_service import VenueOptions
    from opslab.system import StopSignals

    lab = open_lab(home)
    asked = VenueOptions(
        dataset=dataset,
        instrument=lab.instrument,
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
            f"{signal}: {'closing the venue; again to kill it' if count == 1 else 'killing the venue'}"
        )
        ended = lab.serve_venue(asked, signals, _Terminal(as_json))
    if ended:
        note(f"closed after {ended.minutes:,} candles; position {ended.position}, {ended.open_orders} open orders")


@app.command("audit")
def audit_(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the venue, or of a paper run.", show_default=False)
    ],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Prove from a venue's ledger alone that no money and no quantity came from nowhere."""
    from opslab.lab import open_lab

    found = open_lab(home).audit_venue(name)
    document: dict[str, Any] = {
        "venue": name,
        "proven": found.proven,
        "transactions": found.transactions,
        "orders": found.orders,
        "open_orders": found.open_orders,
        "trades": found.trades,
        "start": f"{found.start:f}",
        "wallet": f"{found.wallet:f}",
        "position": f"{found.position:f}",
        "cost": f"{found.cost:f}",
        "fees": f"{found.fees:f}",
        "finding_count": found.finding_count,
        "findings": [{"line": one.line, "rule": one.rule, "detail": one.detail} for one in found.findings],
    }
    if as_json:
        result_json(document)
    else:
        shown = {**document, "proven": "yes" if found.proven else f"no, {found.finding_count} findings"}
        result_fields(
            (key.replace("_", " "), value) for key, value in shown.items() if key not in ("findings", "finding_count")
        )
        for one in found.findings:
            result(one.text())
    raise typer.Exit(0 if found.proven else 6)


class _Terminal:
    """What is printed of a venue: the endpoints on stdout, everything else on stderr."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._state: str | None = None

    def listening(self, name: str, endpoints: "VenueEndpoints", goes_on: bool) -> None:
        told = endpoints.model_dump()
        if self._as_json:
            import json

            result(json.dumps(told))
        else:
            result_fields(told.items())
        sys.stdout.flush()
        note(f"venue {name} {'goes on' if goes_on else 'is open'}; --name {name} goes on with this account later")

    def progress(self, progress: "VenueProgress") -> None:
        if progress.state == self._state:
            return
        self._state = progress.state
        words = {
            "holding": "the market stands still until somebody subscribes",
            "replaying": "the replay has begun",
            "ended": f"the replay has ended at {progress.last_open}; orders are still served",
        }
        note(words[progress.state])

    def log(self, what: str, more: dict[str, Any]) -> None:
        told = {key: terms_text(value) if isinstance(value, dict) else value for key, value in more.items()}
        note(f"{what}: {', '.join(f'{key} {value}' for key, value in told.items())}")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1 <= speed <= MAX_SPEED:
        raise Usage(f"--speed {shown(text)} is not a speed", hint=f"a number from 1 to {MAX_SPEED:,}, or max")
    return speed


def _start(text: str) -> "Start":
    for known in STARTS:
        if text == known:
            return known  # type: ignore[return-value]
    raise Usage(f"--start {shown(text)} is not known", hint=f"one of {', '.join(STARTS)}")


def _host(text: str) -> str:
    import ipaddress

    try:
        loopback = text == "localhost" or ipaddress.ip_address(text).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise Usage(
            f"--host {shown(text)} is no loopback address", hint="127.0.0.1 or ::1; the venue never leaves this machine"
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
        raise Usage(f"--balance {shown(text)} is not an amount", hint="above 0, at most 8 decimals, such as 100000")
    return amount
