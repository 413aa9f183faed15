"""The run spec, version 1: what a user asks for. A field exists only if the code obeys it.

Two modes are two variants of `RunSpec`. So are the two kinds of strategy: a scenario of the lab, and a class of the
user's. Every field's description is what `tc spec schema` prints and what a mistake's message quotes.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from opslab.model.checks.connectivity import ConnectivityReadiness
from opslab.model.messages.paper_messages import FEEDS, FeedName, OnStop
from opslab.model.primitives.canonical import digest
from opslab.model.primitives.exact_json import exact_json
from opslab.model.primitives.mistakes import mistakes_at
from opslab.model.primitives.record import Record
from opslab.model.spec.risk_profile import RiskProfile
from opslab.model.spec.spec_values import (
    ClassPath,
    ConfigValues,
    DatasetName,
    Exact,
    FingerprintText,
    MinuteText,
    RunName,
    Speed,
)

Mode = Literal["backtest", "paper"]
_VENUE_DECIMALS = 8
"""Of money."""


class StrategyRef(Record):
    """A scenario that comes with the lab."""

    name: Literal["ops_smoke_demo", "order_lifecycle_demo"] = Field(
        description="the built-in scenario: ops_smoke_demo counts bars and sends no orders, "
        "order_lifecycle_demo opens and closes positions again and again"
    )
    version: Literal["v1"] = Field(default="v1", description="the scenario's version")

    @property
    def title(self) -> str:
        return self.name

    def named(self) -> dict[str, str]:
        """What metadata says of it."""
        return {"name": self.name, "version": self.version}


class UserStrategyRef(Record):
    """A strategy class of the user's, from the spec's folder or an installed package."""

    path: ClassPath = Field(description="the strategy's class, as module:Class or package.module:Class")
    config_path: ClassPath | None = Field(default=None, description="the class of its config, in the same form")
    config: ConfigValues = Field(default_factory=dict, description="keyword arguments of the config's class")

    @model_validator(mode="after")
    def _values_have_a_class(self) -> Self:
        if self.config and not self.config_path:
            raise ValueError("has a config, and no config_path to say which class takes it")
        return self

    @property
    def title(self) -> str:
        return self.path

    def named(self) -> dict[str, str]:
        """What metadata says of it."""
        return {"path": self.path, **({"config_path": self.config_path} if self.config_path else {})}


def _kind_of_strategy(value: Any) -> str | None:
    """By the keys that are there. What is no mapping at all is refused as a scenario is."""
    if not isinstance(value, dict):
        return "own" if isinstance(value, UserStrategyRef) else "scenario"
    own, scenario = "path" in value, "name" in value
    return None if own == scenario else ("own" if own else "scenario")


AnyStrategy = Annotated[
    Annotated[StrategyRef, Tag("scenario")] | Annotated[UserStrategyRef, Tag("own")],
    Discriminator(
        _kind_of_strategy,
        custom_error_type="kind_of_strategy",
        custom_error_message="needs either 'name', a built-in scenario, or 'path', your own class",
    ),
]


class DataRef(Record):
    """The candles a run reads."""

    dataset: DatasetName = Field(description="name of a prepared dataset, see tc data list")
    fingerprint: FingerprintText | None = Field(
        default=None, description="a gate: the run refuses to start on any other content"
    )
    start: MinuteText | None = Field(
        default=None, description="open time of the first candle to use, UTC; the dataset's first when absent"
    )
    end: MinuteText | None = Field(
        default=None, description="open time before which to end, UTC; the dataset's end when absent"
    )

    @model_validator(mode="after")
    def _window_is_one(self) -> Self:
        if self.start and self.end and self.end <= self.start:
            raise ValueError("end must be later than start")
        return self


class Fees(Record):
    """Fractions of the notional. Negative is a rebate."""

    maker: Annotated[Exact, Field(ge=Decimal("-0.01"), le=Decimal("0.05"))] = Field(
        default=Decimal("0.0002"), description="fee of an order that rested, as a fraction: 0.0002 is 2 basis points"
    )
    taker: Annotated[Exact, Field(ge=Decimal("-0.01"), le=Decimal("0.05"))] = Field(
        default=Decimal("0.0005"), description="fee of an order that took, as a fraction: 0.0005 is 5 basis points"
    )


class StartingBalances(Record):
    """One margin asset, as the instrument settles in it."""

    USDT: Annotated[Exact, Field(gt=0, le=Decimal(10) ** 12)] = Field(
        default=Decimal(100_000), description="USDT in the account when the run starts"
    )


class AccountSpec(Record):
    """The simulated account: one-way position mode, cross margin."""

    starting_balances: StartingBalances = Field(
        default_factory=StartingBalances, description="a mapping of asset to amount"
    )
    leverage: Annotated[int, Field(ge=1, le=125)] = Field(
        default=10, description="an order needs a margin of its notional divided by this"
    )
    fees: Fees = Field(default_factory=Fees, description="maker and taker fees, as fractions of the notional")


class RiskSpec(Record):
    profile: RiskProfile = Field(default="standard", description="the engine's limits: tiny or standard")


class BacktestLimits(Record):
    max_seconds: Annotated[int, Field(ge=1, le=604_800)] = Field(
        default=86_400, description="seconds on the wall clock after which the run is ended as interrupted"
    )


_SecondsOfSilence = Annotated[Exact, Field(ge=Decimal("0.5"), le=86_400)]


class SilentAfter(Record):
    """Seconds without a message after which a connected feed is told silent."""

    bars: _SecondsOfSilence | None = Field(
        default=None,
        description="seconds without a bar until the feed is silent; 2.5 minutes at the run's speed, at least 2, when "
        "absent, and 10 at speed max",
    )
    quotes: _SecondsOfSilence | None = Field(
        default=None,
        description="seconds without a quote until the feed is silent; 2.5 ticks at the run's speed, at least 5, when "
        "absent, and 10 at speed max",
    )
    trades: _SecondsOfSilence | None = Field(default=None, description="the same of trades")


class PaperLimits(Record):
    """Pace, bounds and supervision of a paper run. `silent_after` has the thresholds with the absent ones filled in."""

    speed: Speed = Field(
        default=Decimal(1), description="minutes of the market in a minute; max: as fast as the engine follows"
    )
    max_bars: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="bars after which the run is complete; all of the window when absent"
    )
    max_seconds: Annotated[int, Field(ge=1, le=604_800)] = Field(
        default=86_400, description="seconds on the wall clock after which the run is complete"
    )
    on_stop: OnStop = Field(
        default="flatten", description="what becomes of orders and position at the end: flatten them, or leave them"
    )
    restart: Literal["never", "on_failure"] = Field(
        default="never", description="whether an engine that crashed, hung or grew too large is followed by another"
    )
    max_restarts: Annotated[int, Field(ge=0, le=100)] = Field(
        default=3, description="how often, with restart: on_failure"
    )
    reconcile_every_seconds: Annotated[int, Field(ge=1, le=3_600)] = Field(
        default=10, description="seconds between two comparisons of the engine's account with the venue's"
    )
    silent_after_seconds: SilentAfter = Field(
        default_factory=SilentAfter, description="seconds without a message, by feed: bars, quotes, trades"
    )
    hang_after_seconds: Annotated[Exact, Field(ge=2, le=300)] = Field(
        default=Decimal(10), description="seconds without a heartbeat after which the engine hangs, and is killed"
    )
    max_memory_mb: Annotated[int, Field(ge=128, le=65_536)] = Field(
        default=1_024, description="memory that the engine may take, in MiB"
    )
    ticks_per_minute: Annotated[int, Field(ge=4, le=60_000)] = Field(
        default=30, description="trades that the venue draws in a minute of the market"
    )
    latency_ms: Annotated[int, Field(ge=0, le=60_000)] = Field(
        default=0, description="milliseconds that an order is on its way to the venue"
    )

    @model_validator(mode="after")
    def _silence_is_longer_than_a_pause(self) -> Self:
        mistakes: list[tuple[tuple[int | str, ...], str]] = []
        for feed in FEEDS:
            given, pause = getattr(self.silent_after_seconds, feed), self._pause_seconds(feed)
            if given is not None and given <= pause:
                pace = f"speed {self.speed}{'' if feed == 'bars' else f' and {self.ticks_per_minute} ticks a minute'}"
                message = f"must be more than {pause:g}: so long may pass between two {feed} at {pace}; got {given}"
                mistakes.append((("silent_after_seconds", feed), message))
        if mistakes:
            raise mistakes_at(mistakes)
        return self

    def _pause_seconds(self, feed: FeedName) -> float:
        """The longest there is between two messages of a feed that is well; 0 at speed max, where there is no saying.

        A tick lies anywhere within its part of the minute: from one to the next it may be two of them.
        """
        if self.speed == "max":
            return 0.0
        minute = 60 / float(self.speed)
        return minute if feed == "bars" else 2 * minute / self.ticks_per_minute

    def silent_after(self) -> dict[FeedName, float]:
        """Seconds for every feed, those that were not given filled in.

        A missing candle makes a pause of up to two minutes between two bars, and that is no silence of theirs; quotes
        and trades are silent then.
        """
        found: dict[FeedName, float] = {}
        for feed in FEEDS:
            given: Decimal | None = getattr(self.silent_after_seconds, feed)
            if given is not None:
                found[feed] = float(given)
            elif self.speed == "max":
                found[feed] = 10.0
            elif feed == "bars":
                found[feed] = max(2.0, 2.5 * 60 / float(self.speed))
            else:
                found[feed] = max(5.0, 2.5 * 60 / float(self.speed) / self.ticks_per_minute)
        return found


class Observability(Record):
    """What is written besides what a run needs."""

    journal: bool = Field(default=True, description="false keeps lifecycle events only, never less")
    metrics: bool = Field(default=True, description="write metrics.json")
    report: bool = Field(default=True, description="write report.md and report.html")


class _Common(Record):
    """What a spec of either mode says."""

    spec_version: Literal["v1"] = Field(description="version of this format")
    run_id: RunName | None = Field(default=None, description="name of the run; made from time and strategy when absent")
    mode: Mode = Field(description="what kind of run")
    engine: Literal["nautilus"] = Field(description="the engine")
    venue: Literal["binance"] = Field(description="binance is Binance USD-M futures")
    instrument: Literal["BTCUSDT"] = Field(description="the venue's symbol")
    strategy: AnyStrategy = Field(description="what runs: a built-in scenario, or your own class")
    data: DataRef = Field(description="the candles it runs on")
    account: AccountSpec = Field(default_factory=AccountSpec, description="the simulated account")
    risk: RiskSpec = Field(default_factory=RiskSpec, description="the engine's risk limits")
    observability: Observability = Field(default_factory=Observability, description="what is written")
    connectivity_readiness: ConnectivityReadiness = Field(
        default_factory=ConnectivityReadiness,
        description="which environment variables have to be set; changes no result",
    )

    def asked(self) -> dict[str, Any]:
        """What identity is made of: every field with its default filled in.

        Names are left out, the dataset's too: the digest of its candles stands beside this one. So is what
        changes no result.
        """
        left_out: Any = {"run_id": True, "connectivity_readiness": True, "data": {"dataset", "fingerprint"}}
        asked = self.model_dump(mode="json", exclude=left_out)
        if isinstance(self.strategy, UserStrategyRef):  # 0.10, 0.1 and "0.1" may be three things to a strategy
            asked["strategy"]["config"] = exact_json(self.strategy.config)
        return asked

    def compared(self) -> dict[str, Any]:
        """What two specs of one run have in common: what they ask, and how they name the dataset."""
        return {**self.asked(), "data": self.model_dump(mode="json", include={"data"})["data"]}

    def digest(self) -> str:
        return digest(self.asked())


class BacktestSpec(_Common):
    """One backtest run, described."""

    mode: Literal["backtest"] = Field(description="what kind of run")
    backtest: BacktestLimits = Field(default_factory=BacktestLimits, description="bounds of a backtest")


class PaperSpec(_Common):
    """One paper run, described: a live node against the loopback venue, which plays the candles as a market."""

    mode: Literal["paper"] = Field(description="what kind of run")
    paper: PaperLimits = Field(default_factory=PaperLimits, description="pace, bounds and supervision of a paper run")

    @model_validator(mode="after")
    def _venue_opens_with_what_is_asked(self) -> Self:
        exponent = self.account.starting_balances.USDT.normalize().as_tuple().exponent
        if isinstance(exponent, int) and exponent < -_VENUE_DECIMALS:
            message = f"must have at most {_VENUE_DECIMALS} decimals in a paper run: the venue keeps no more"
            raise mistakes_at([(("account", "starting_balances", "USDT"), message)])
        return self


RunSpec = BacktestSpec | PaperSpec
VARIANTS: dict[Mode, type[RunSpec]] = {"backtest": BacktestSpec, "paper": PaperSpec}
"""By `mode`. The block that only one of them has is named as its mode."""
