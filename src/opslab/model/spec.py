"""The run spec, version 1: what a user asks for. A field exists only if the code obeys it.

Two modes are two variants; `backtest` is the one that runs today. So are the two kinds of strategy: a scenario of the
lab, and a class of the user's. Every field's description is what `tc spec schema` prints and what a mistake's message
quotes.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    model_validator,
)

from opslab.errors import BadId
from opslab.model.canonical import decimal_text, digest
from opslab.model.connectivity import ConnectivityReadiness
from opslab.model.exact_json import exact_json, plain
from opslab.model.ids import DATASET_ID_RULE, RUN_ID_RULE, DatasetId, RunId
from opslab.model.instant import iso_minute, parse_minute
from opslab.model.record import Record
from opslab.model.risk import RiskProfile

_NUMBER = re.compile(r"[-+]?\d{1,18}(\.\d{1,12})?", re.ASCII)
_CLASS_PATH = re.compile(r"([A-Za-z_]\w{0,99}\.){0,9}[A-Za-z_]\w{0,99}:[A-Za-z_]\w{0,99}", re.ASCII)
_MINUTE = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:00)?Z)?", re.ASCII)
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def _exact(value: Any) -> Any:
    """Numbers and decimal text become Decimal; anything else is left to be refused."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return Decimal(value)
    if isinstance(value, (str, Decimal)) and _NUMBER.fullmatch(str(value)):
        return Decimal(str(value))
    raise ValueError("must be a number of at most 18 digits and 12 decimals, such as 0.0005")


def _run_id(value: Any) -> Any:
    return _checked_id(RunId, value, RUN_ID_RULE)


def _dataset_id(value: Any) -> Any:
    return _checked_id(DatasetId, value, DATASET_ID_RULE)


def _checked_id(kind: type[RunId] | type[DatasetId], value: Any, rule: str) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"must be text: {rule}")
    try:
        return str(kind(value))
    except BadId:
        raise ValueError(f"must be {rule}") from None


def _fingerprint(value: Any) -> Any:
    if isinstance(value, str) and _FINGERPRINT.fullmatch(value):
        return value
    raise ValueError("must be 'sha256:' and 64 hex digits, as tc data fingerprint prints")


def _minute(value: Any) -> Any:
    if isinstance(value, str) and _MINUTE.fullmatch(value):
        try:
            return iso_minute(parse_minute(value))
        except ValueError:
            pass
    raise ValueError("must be a whole minute in UTC, such as 2024-01-31T00:00:00Z or 2024-01-31")


def _class_path(value: Any) -> Any:
    if isinstance(value, str) and _CLASS_PATH.fullmatch(value):
        return value
    raise ValueError("must be 'module:Class' or 'package.module:Class', such as crossing.cross:CrossStrategy")


def _config(value: Any) -> Any:
    """Whatever a spec's YAML can say: the values' own types are the strategy's business."""
    if isinstance(value, dict):
        return value
    raise ValueError("must be a mapping of the config class's keys")


_NAME_PATTERN = "^(?!.*__)[{first}][{first}._-]{{0,62}}[{first}_-]$|^[{first}]$"
Exact = Annotated[
    Decimal,
    BeforeValidator(_exact),
    PlainSerializer(decimal_text, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{_NUMBER.pattern}$"}]}),
]
RunName = Annotated[
    str,
    BeforeValidator(_run_id),
    WithJsonSchema({"type": "string", "pattern": _NAME_PATTERN.format(first="A-Za-z0-9")}),
]
DatasetName = Annotated[
    str,
    BeforeValidator(_dataset_id),
    WithJsonSchema({"type": "string", "pattern": _NAME_PATTERN.format(first="a-z0-9")}),
]
FingerprintText = Annotated[
    str, BeforeValidator(_fingerprint), WithJsonSchema({"type": "string", "pattern": f"^{_FINGERPRINT.pattern}$"})
]
MinuteText = Annotated[
    str, BeforeValidator(_minute), WithJsonSchema({"type": "string", "pattern": f"^{_MINUTE.pattern}$"})
]
ClassPath = Annotated[
    str,
    BeforeValidator(_class_path),
    WithJsonSchema({"type": "string", "pattern": f"^{_CLASS_PATH.pattern}$"}),
]
ConfigValues = Annotated[
    dict[str, Any],
    BeforeValidator(_config),
    PlainSerializer(plain, return_type=dict[str, Any], when_used="json"),
    WithJsonSchema({"type": "object"}),
]


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


class OwnStrategy(Record):
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
        return "own" if isinstance(value, OwnStrategy) else "scenario"
    own, scenario = "path" in value, "name" in value
    return None if own == scenario else ("own" if own else "scenario")


AnyStrategy = Annotated[
    Annotated[StrategyRef, Tag("scenario")] | Annotated[OwnStrategy, Tag("own")],
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


class Observability(Record):
    """What is written besides what a run needs."""

    journal: bool = Field(default=True, description="false keeps lifecycle events only, never less")
    metrics: bool = Field(default=True, description="write metrics.json")
    report: bool = Field(default=True, description="write report.md and report.html")


class BacktestSpec(Record):
    """One backtest run, described."""

    spec_version: Literal["v1"] = Field(description="version of this format")
    run_id: RunName | None = Field(default=None, description="name of the run; made from time and strategy when absent")
    mode: Literal["backtest"] = Field(description="what kind of run")
    engine: Literal["nautilus"] = Field(description="the engine")
    venue: Literal["binance"] = Field(description="binance is Binance USD-M futures")
    instrument: Literal["BTCUSDT"] = Field(description="the venue's symbol")
    strategy: AnyStrategy = Field(description="what runs: a built-in scenario, or your own class")
    data: DataRef = Field(description="the candles it runs on")
    account: AccountSpec = Field(default_factory=AccountSpec, description="the simulated account")
    risk: RiskSpec = Field(default_factory=RiskSpec, description="the engine's risk limits")
    backtest: BacktestLimits = Field(default_factory=BacktestLimits, description="bounds of a backtest")
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
        if isinstance(self.strategy, OwnStrategy):  # 0.10, 0.1 and "0.1" may be three things to a strategy
            asked["strategy"]["config"] = exact_json(self.strategy.config)
        return asked

    def compared(self) -> dict[str, Any]:
        """What two specs of one run have in common: what they ask, and how they name the dataset."""
        return {**self.asked(), "data": self.model_dump(mode="json", include={"data"})["data"]}

    def digest(self) -> str:
        return digest(self.asked())
