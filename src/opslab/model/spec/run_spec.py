"""The run spec, version 1. A field exists only if the code obeys it.

The two modes are two variants of `RunSpec`; the two kinds of strategy, a scenario of the lab and a user's class, are
variants too. `tc spec schema` prints every field's description, and messages about mistakes quote it.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from opslab.model.checks.connectivity import ConnectivityReadiness
from opslab.model.messages.engine_messages import DEFAULT_LOG_LEVEL, LogLevelName
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
    FingerprintText,
    MinuteText,
    RunName,
    SpecDecimal,
    Speed,
)

Mode = Literal["backtest", "paper"]
_VENUE_DECIMALS = 8
"""Decimals of an amount of money."""


class StrategyRef(Record):
    """A built-in scenario of the lab."""

    name: Literal["ops_smoke_demo", "order_lifecycle_demo"] = Field(
        description="the built-in scenario: ops_smoke_demo counts bars and sends no orders, "
        "order_lifecycle_demo opens and closes positions repeatedly"
    )
    version: Literal["v1"] = Field(default="v1", description="the scenario's version")

    @property
    def title(self) -> str:
        return self.name

    def reference(self) -> dict[str, str]:
        """The section `strategy` of the metadata."""
        return {"name": self.name, "version": self.version}


class UserStrategyRef(Record):
    """A user's strategy class, from the spec's folder or an installed package."""

    path: ClassPath = Field(description="the strategy's class, as module:Class or package.module:Class")
    config_path: ClassPath | None = Field(default=None, description="the class of its config, in the same form")
    config: ConfigValues = Field(default_factory=dict, description="keyword arguments of the config's class")

    @model_validator(mode="after")
    def _config_has_a_class(self) -> Self:
        if self.config and not self.config_path:
            raise ValueError("has a config but no config_path, the class that takes it")
        return self

    @property
    def title(self) -> str:
        return self.path

    def reference(self) -> dict[str, str]:
        """The section `strategy` of the metadata."""
        return {"path": self.path, **({"config_path": self.config_path} if self.config_path else {})}


def _strategy_kind(value: Any) -> str | None:
    """Decide by the present keys. A value that is not a mapping is refused with the mistakes of a scenario."""
    if not isinstance(value, dict):
        return "user" if isinstance(value, UserStrategyRef) else "scenario"
    is_user, is_scenario = "path" in value, "name" in value
    return None if is_user == is_scenario else ("user" if is_user else "scenario")


AnyStrategy = Annotated[
    Annotated[StrategyRef, Tag("scenario")] | Annotated[UserStrategyRef, Tag("user")],
    Discriminator(
        _strategy_kind,
        custom_error_type="kind_of_strategy",
        custom_error_message="needs either 'name', a built-in scenario, or 'path', your strategy class",
    ),
]


class DataRef(Record):
    """The candles of a run."""

    dataset: DatasetName = Field(description="name of a prepared dataset, see tc data list")
    fingerprint: FingerprintText | None = Field(
        default=None, description="required content digest: the run refuses to start on any other content"
    )
    start: MinuteText | None = Field(
        default=None, description="open time of the first candle to use, UTC; the dataset's first when absent"
    )
    end: MinuteText | None = Field(
        default=None, description="open time at which the window ends, exclusive, UTC; the dataset's end when absent"
    )

    @model_validator(mode="after")
    def _end_is_after_start(self) -> Self:
        if self.start and self.end and self.end <= self.start:
            raise ValueError("end must be later than start")
        return self


class Fees(Record):
    """Fractions of the notional. A negative fee is a rebate."""

    maker: Annotated[SpecDecimal, Field(ge=Decimal("-0.01"), le=Decimal("0.05"))] = Field(
        default=Decimal("0.0002"), description="fee of a resting order (maker), as a fraction: 0.0002 is 2 basis points"
    )
    taker: Annotated[SpecDecimal, Field(ge=Decimal("-0.01"), le=Decimal("0.05"))] = Field(
        default=Decimal("0.0005"),
        description="fee of an order that takes liquidity, as a fraction: 0.0005 is 5 basis points",
    )


class StartingBalances(Record):
    """One margin asset: the settlement asset of the instrument."""

    USDT: Annotated[SpecDecimal, Field(gt=0, le=Decimal(10) ** 12)] = Field(
        default=Decimal(100_000), description="USDT in the account when the run starts"
    )


class AccountSpec(Record):
    """The simulated account: one-way position mode, cross margin."""

    starting_balances: StartingBalances = Field(
        default_factory=StartingBalances, description="a mapping of asset to amount"
    )
    leverage: Annotated[int, Field(ge=1, le=125)] = Field(
        default=10, description="the margin of an order is its notional divided by this"
    )
    fees: Fees = Field(default_factory=Fees, description="maker and taker fees, as fractions of the notional")


class RiskSpec(Record):
    profile: RiskProfile = Field(default="standard", description="the engine's limits: tiny or standard")


class BacktestLimits(Record):
    max_seconds: Annotated[int, Field(ge=1, le=604_800)] = Field(
        default=86_400, description="wall-clock seconds after which the run ends as interrupted"
    )


_SilenceSeconds = Annotated[SpecDecimal, Field(ge=Decimal("0.5"), le=86_400)]


class SilentAfter(Record):
    """Seconds without a message after which a connected feed is silent."""

    bars: _SilenceSeconds | None = Field(
        default=None,
        description="seconds without a bar until the feed is silent; 2.5 minutes at the run's speed, at least 2, when "
        "absent, and 10 at speed max",
    )
    quotes: _SilenceSeconds | None = Field(
        default=None,
        description="seconds without a quote until the feed is silent; 2.5 ticks at the run's speed, at least 5, when "
        "absent, and 10 at speed max",
    )
    trades: _SilenceSeconds | None = Field(
        default=None, description="seconds without a trade until the feed is silent; default as for quotes"
    )


class PaperLimits(Record):
    """Pace, bounds and supervision of a paper run. `silent_after` returns all thresholds, defaults included."""

    speed: Speed = Field(
        default=Decimal(1), description="market minutes per minute; max: as fast as the engine processes bars"
    )
    max_bars: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="bars after which the run is complete; all of the window when absent"
    )
    max_seconds: Annotated[int, Field(ge=1, le=604_800)] = Field(
        default=86_400, description="wall-clock seconds after which the run is complete"
    )
    on_stop: OnStop = Field(
        default="flatten", description="at the end: flatten cancels orders and closes the position, leave does neither"
    )
    restart: Literal["never", "on_failure"] = Field(
        default="never", description="whether an engine that crashed, hung or exceeded its memory is restarted"
    )
    max_restarts: Annotated[int, Field(ge=0, le=100)] = Field(
        default=3, description="maximum number of restarts, with restart: on_failure"
    )
    reconcile_every_seconds: Annotated[int, Field(ge=1, le=3_600)] = Field(
        default=10, description="seconds between two reconciliations of the engine's account with the venue's"
    )
    silent_after_seconds: SilentAfter = Field(
        default_factory=SilentAfter, description="seconds without a message, by feed: bars, quotes, trades"
    )
    hang_after_seconds: Annotated[SpecDecimal, Field(ge=2, le=300)] = Field(
        default=Decimal(10), description="seconds without a heartbeat after which a hung engine is killed"
    )
    max_memory_mb: Annotated[int, Field(ge=128, le=65_536)] = Field(
        default=1_024, description="memory limit of the engine, in MiB"
    )
    ticks_per_minute: Annotated[int, Field(ge=4, le=60_000)] = Field(
        default=30, description="trades that the venue simulates per market minute"
    )
    latency_ms: Annotated[int, Field(ge=0, le=60_000)] = Field(default=0, description="order latency in milliseconds")

    @model_validator(mode="after")
    def _threshold_is_longer_than_a_pause(self) -> Self:
        mistakes: list[tuple[tuple[int | str, ...], str]] = []
        for feed in FEEDS:
            given, pause = getattr(self.silent_after_seconds, feed), self._pause_seconds(feed)
            if given is not None and given <= pause:
                pace = f"speed {self.speed}{'' if feed == 'bars' else f' and {self.ticks_per_minute} ticks a minute'}"
                message = f"must be more than {pause:g}, the longest pause between two {feed} at {pace}; got {given}"
                mistakes.append((("silent_after_seconds", feed), message))
        if mistakes:
            raise mistakes_at(mistakes)
        return self

    def _pause_seconds(self, feed: FeedName) -> float:
        """Longest pause between two messages of a healthy feed; 0 at speed max, where it is not known.

        A tick is at any time within its part of the minute, so two ticks can be two parts apart.
        """
        if self.speed == "max":
            return 0.0
        minute = 60 / float(self.speed)
        return minute if feed == "bars" else 2 * minute / self.ticks_per_minute

    def silent_after(self) -> dict[FeedName, float]:
        """Threshold in seconds of every feed, defaults filled in.

        A missing candle causes a pause of up to two minutes between two bars, which does not count as silence; quotes
        and trades are silent then.
        """
        thresholds: dict[FeedName, float] = {}
        for feed in FEEDS:
            given: Decimal | None = getattr(self.silent_after_seconds, feed)
            if given is not None:
                thresholds[feed] = float(given)
            elif self.speed == "max":
                thresholds[feed] = 10.0
            elif feed == "bars":
                thresholds[feed] = max(2.0, 2.5 * 60 / float(self.speed))
            else:
                thresholds[feed] = max(5.0, 2.5 * 60 / float(self.speed) / self.ticks_per_minute)
        return thresholds


class Observability(Record):
    """Optional records of a run."""

    journal: bool = Field(default=True, description="false: only lifecycle events are recorded")
    metrics: bool = Field(default=True, description="write metrics.json")
    report: bool = Field(default=True, description="write report.md and report.html")
    log: LogLevelName = Field(
        default=DEFAULT_LOG_LEVEL, description="lowest level of the log of engine and strategy that is stored"
    )


class _CommonSpec(Record):
    """Fields of both modes."""

    spec_version: Literal["v1"] = Field(description="version of this format")
    run_id: RunName | None = Field(
        default=None, description="name of the run; generated from time and strategy when absent"
    )
    mode: Mode = Field(description="mode of the run")
    engine: Literal["nautilus"] = Field(description="the engine")
    venue: Literal["binance"] = Field(description="binance is Binance USD-M futures")
    instrument: Literal["BTCUSDT"] = Field(description="the venue's symbol")
    strategy: AnyStrategy = Field(description="a built-in scenario, or your strategy class")
    data: DataRef = Field(description="the candles of the run")
    account: AccountSpec = Field(default_factory=AccountSpec, description="the simulated account")
    risk: RiskSpec = Field(default_factory=RiskSpec, description="the engine's risk limits")
    observability: Observability = Field(default_factory=Observability, description="optional records")
    connectivity_readiness: ConnectivityReadiness = Field(
        default_factory=ConnectivityReadiness,
        description="environment variables that must be set; changes no result",
    )

    def identity_values(self) -> dict[str, Any]:
        """The spec's part of the input digest: every field, defaults filled in.

        Names are excluded, the dataset's too: the digest of its candles is another part. Fields that change no result
        are excluded as well.
        """
        excluded: Any = {
            "run_id": True,
            "connectivity_readiness": True,
            "data": {"dataset", "fingerprint"},
            "observability": {"log"},
        }
        values = self.model_dump(mode="json", exclude=excluded)
        if isinstance(self.strategy, UserStrategyRef):  # a strategy may distinguish 0.10, 0.1 and "0.1"
            values["strategy"]["config"] = exact_json(self.strategy.config)
        return values

    def comparable_values(self) -> dict[str, Any]:
        """Equal for two specs of one run: the identity values, the dataset by name and fingerprint, the log's level."""
        return {**self.identity_values(), **self.model_dump(mode="json", include={"data", "observability"})}

    def digest(self) -> str:
        return digest(self.identity_values())


class BacktestSpec(_CommonSpec):
    """Spec of a backtest."""

    mode: Literal["backtest"] = Field(description="mode of the run")
    backtest: BacktestLimits = Field(default_factory=BacktestLimits, description="bounds of a backtest")


class PaperSpec(_CommonSpec):
    """Spec of a paper run: a live node against the loopback venue, which replays the candles as a market."""

    mode: Literal["paper"] = Field(description="mode of the run")
    paper: PaperLimits = Field(default_factory=PaperLimits, description="pace, bounds and supervision of a paper run")

    @model_validator(mode="after")
    def _balance_fits_the_venue(self) -> Self:
        exponent = self.account.starting_balances.USDT.normalize().as_tuple().exponent
        if isinstance(exponent, int) and exponent < -_VENUE_DECIMALS:
            message = f"must have at most {_VENUE_DECIMALS} decimals in a paper run, as the venue stores"
            raise mistakes_at([(("account", "starting_balances", "USDT"), message)])
        return self


RunSpec = BacktestSpec | PaperSpec
VARIANTS: dict[Mode, type[RunSpec]] = {"backtest": BacktestSpec, "paper": PaperSpec}
"""Variant by `mode`. The block that only one variant has is named as its mode."""
