"""The values a spec gives to a config class: which keys it takes, and each value as the type it asks for.

The engine's own config base ignores keys it does not know, so that a typing mistake would become a default.
"""

import functools
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from nautilus_trader.model import InstrumentId, OmsType, Price, Quantity, StrategyId, TimeInForce
from nautilus_trader.trading import StrategyConfig
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from opslab.model.primitives.ids import nearest
from opslab.model.primitives.secret_shapes import HIDDEN, looks_like_secret

BASE_KEYS: dict[str, Any] = {
    "strategy_id": StrategyId,
    "order_id_tag": str,
    "oms_type": OmsType,
    "external_order_instrument_ids": list[InstrumentId],
    "manage_contingent_orders": bool,
    "manage_gtd_expiry": bool,
    "manage_stop": bool,
    "market_exit_interval_ms": int,
    "market_exit_max_attempts": int,
    "market_exit_time_in_force": TimeInForce,
    "market_exit_reduce_only": bool,
    "use_uuid_client_order_ids": bool,
    "use_hyphens_in_client_order_ids": bool,
    "log_events": bool,
    "log_commands": bool,
    "log_rejected_due_post_only_as_warning": bool,
}
"""What the engine's StrategyConfig takes."""

_NUMBER = re.compile(r"[-+]?\d{1,40}(\.\d{1,40})?", re.ASCII)
_MISSING = inspect.Parameter.empty
_ENGINE = "nautilus_trader."


@dataclass(frozen=True, slots=True)
class ConfigFinding:
    """One thing wrong: the path of the field below `strategy`, and what."""

    field: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Key:
    """A keyword parameter. `kind` is its annotation, or empty where there is none that can be read."""

    name: str
    kind: Any
    required: bool


def keys_of(config: type) -> dict[str, Key] | None:
    """The keywords a config class takes, those behind its `**base` included; None when it does not tell."""
    try:
        outer = inspect.signature(config)
    except (TypeError, ValueError):
        return None
    keys = {key.name: key for key in _keywords(outer, _hints(inspect.getattr_static(config, "__init__")))}
    inner = iter(config.__mro__)
    takes_more = _takes_more(outer)
    if takes_more:  # what its own __init__ does not name goes on to its bases
        next((kind for kind in inner if "__init__" in vars(kind)), None)
    while takes_more:
        base = next((kind for kind in inner if isinstance(vars(kind).get("__init__"), types.FunctionType)), None)
        if base is None:
            break
        signature = inspect.signature(vars(base)["__init__"])
        for key in _keywords(signature, _hints(vars(base)["__init__"])):
            keys.setdefault(key.name, Key(key.name, key.kind, required=False))
        takes_more = _takes_more(signature)
    if not takes_more:
        return keys
    if not issubclass(config, StrategyConfig):
        return None
    return keys | {name: Key(name, kind, required=False) for name, kind in BASE_KEYS.items() if _is_bare(keys, name)}


def converted(keys: Mapping[str, Key] | None, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[ConfigFinding]]:
    """The values as the class wants them, and everything wrong with them."""
    if keys is None:
        return dict(values), []
    findings = [ConfigFinding(("config", name), _unknown(name, keys)) for name in values if name not in keys]
    for key in keys.values():
        if key.required and key.name not in values:
            kind = "" if key.kind is _MISSING else f" ({_shown(key.kind)})"
            findings.append(ConfigFinding(("config", key.name), f"is missing{kind}; {_known(keys)}"))
    fitting: dict[str, Any] = {}
    for name, value in values.items():
        if name in keys:
            try:
                fitting[name] = fit(keys[name].kind, value)
            except ValueError as error:
                findings.append(ConfigFinding(("config", name), f"{error}{_got(name, value)}; {_known(keys)}"))
    return fitting, findings


def fit(kind: Any, value: Any) -> Any:
    """The value as `kind`; as it is when `kind` is nothing that can be checked. Raises ValueError."""
    if kind is _MISSING:
        return value
    try:
        return TypeAdapter(_checked(kind)).validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False)
        if len(found) == 1 and "error" in found[0].get("ctx", {}) and not found[0]["loc"]:
            raise ValueError(str(found[0]["ctx"]["error"])) from None
        raise ValueError(f"must be {_shown(kind)}") from None
    except Exception:  # noqa: BLE001  (an annotation may be anything at all)
        return value


def _keywords(signature: inspect.Signature, hints: Mapping[str, Any]) -> Iterator[Key]:
    for name, parameter in signature.parameters.items():
        if name != "self" and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            kind = hints.get(name, _MISSING)
            yield Key(name, kind, required=parameter.default is _MISSING)


def _takes_more(signature: inspect.Signature) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())


def _is_bare(keys: Mapping[str, Key], name: str) -> bool:
    """Whether the engine's own type is to be used: the class says nothing else of this key."""
    return name not in keys or keys[name].kind is _MISSING


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001  (annotations may name what only a type checker sees)
        return {}


def _checked(kind: Any) -> Any:
    """`kind` with its scalars made strict and exact, and with engine types that can be read from text."""
    if kind in _SCALARS:
        return Annotated[Any, BeforeValidator(_SCALARS[kind])]
    if isinstance(kind, type) and kind.__module__.startswith(_ENGINE) and hasattr(kind, "from_str"):
        return Annotated[Any, BeforeValidator(functools.partial(_engine_value, kind))]
    origin, parts = get_origin(kind), get_args(kind)
    if not parts or origin is Literal:
        return kind
    if origin is Annotated:
        return Annotated[_checked(parts[0]), *parts[1:]]
    inner = tuple(part if part is Ellipsis else _checked(part) for part in parts)
    return Union[inner] if origin in (Union, types.UnionType) else origin[inner]  # noqa: UP007


def _engine_value(kind: Any, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if kind in (Price, Quantity) and isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        value = f"{value:f}" if isinstance(value, Decimal) else str(value)
    if not isinstance(value, str):
        raise ValueError(f"must be text that reads as {kind.__name__}")
    try:
        return kind.from_str(value)
    except Exception as error:  # noqa: BLE001  (the engine raises several kinds)
        raise ValueError(f"must read as {kind.__name__}: {' '.join(str(error).split())[:200]}") from None


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("must be a whole number (int)")


def _float(value: Any) -> float:
    if isinstance(value, (int, Decimal, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError("must be a number (float)")


def _decimal(value: Any) -> Decimal:
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    raise ValueError("must be a number (Decimal), as a number or as text")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("must be text (str): write it in quotes")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false (bool)")


_SCALARS: dict[Any, Any] = {int: _whole, float: _float, Decimal: _decimal, str: _text, bool: _boolean}


def _unknown(name: str, keys: Mapping[str, Key]) -> str:
    close = nearest(name, keys, 1)
    guess = f" (did you mean '{close[0]}'?)" if close else ""
    return f"unknown key{guess}; {_known(keys)}"


def _known(keys: Mapping[str, Key]) -> str:
    """The class's own keys, then those of the engine's base in brief."""
    own = [name for name in keys if name not in BASE_KEYS]
    base = [name for name in keys if name in BASE_KEYS]
    return f"known here: {', '.join(own + base)}"


def _shown(kind: Any) -> str:
    return inspect.formatannotation(kind).replace("decimal.", "").replace("nautilus_trader.model.", "")


def _got(name: str, value: Any) -> str:
    if value is None:
        return ", got nothing"
    if isinstance(value, (dict, list)):
        return ", got a mapping" if isinstance(value, dict) else ", got a list"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if looks_like_secret(text, name):
        return f", got {HIDDEN}"
    return f", got {ascii(text[:40]) if isinstance(value, str) else text[:40]}{'...' if len(text) > 40 else ''}"
