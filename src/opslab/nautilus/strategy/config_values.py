"""Convert the config values of a spec to the types of a config class, and check their keys.

The engine's own config base ignores unknown keys, so that a typing mistake would become a default.
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
"""Parameters of the engine's StrategyConfig."""

_NUMBER = re.compile(r"[-+]?\d{1,40}(\.\d{1,40})?", re.ASCII)
_MISSING = inspect.Parameter.empty
_ENGINE = "nautilus_trader."


@dataclass(frozen=True, slots=True)
class ConfigFinding:
    """One mistake, with the path of its field below `strategy`."""

    field: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Key:
    """A keyword parameter. `kind` is its annotation, or empty without a readable one."""

    name: str
    kind: Any
    required: bool


def config_keys(config: type) -> dict[str, Key] | None:
    """The keywords of a config class, with those that its `**base` passes on; None when they cannot be determined."""
    try:
        outer = inspect.signature(config)
    except (TypeError, ValueError):
        return None
    keys = {key.name: key for key in _keywords(outer, _hints(inspect.getattr_static(config, "__init__")))}
    inner = iter(config.__mro__)
    has_var_keyword = _has_var_keyword(outer)
    if has_var_keyword:  # keywords that its own __init__ does not name are passed to its bases
        next((kind for kind in inner if "__init__" in vars(kind)), None)
    while has_var_keyword:
        base = next((kind for kind in inner if isinstance(vars(kind).get("__init__"), types.FunctionType)), None)
        if base is None:
            break
        signature = inspect.signature(vars(base)["__init__"])
        for key in _keywords(signature, _hints(vars(base)["__init__"])):
            keys.setdefault(key.name, Key(key.name, key.kind, required=False))
        has_var_keyword = _has_var_keyword(signature)
    if not has_var_keyword:
        return keys
    if not issubclass(config, StrategyConfig):
        return None
    return keys | {
        name: Key(name, kind, required=False) for name, kind in BASE_KEYS.items() if _has_no_type(keys, name)
    }


def convert_values(
    keys: Mapping[str, Key] | None, values: Mapping[str, Any]
) -> tuple[dict[str, Any], list[ConfigFinding]]:
    """The values in the types of the class, and all mistakes in them."""
    if keys is None:
        return dict(values), []
    findings = [ConfigFinding(("config", name), _unknown_key(name, keys)) for name in values if name not in keys]
    for key in keys.values():
        if key.required and key.name not in values:
            kind = "" if key.kind is _MISSING else f" ({_type_name(key.kind)})"
            findings.append(ConfigFinding(("config", key.name), f"is missing{kind}; {_known_keys(keys)}"))
    converted: dict[str, Any] = {}
    for name, value in values.items():
        if name in keys:
            try:
                converted[name] = convert_value(keys[name].kind, value)
            except ValueError as error:
                findings.append(
                    ConfigFinding(("config", name), f"{error}{_received(name, value)}; {_known_keys(keys)}")
                )
    return converted, findings


def convert_value(kind: Any, value: Any) -> Any:
    """The value as `kind`; unchanged when `kind` cannot be checked. Raises ValueError."""
    if kind is _MISSING:
        return value
    try:
        return TypeAdapter(_strict(kind)).validate_python(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        if len(details) == 1 and "error" in details[0].get("ctx", {}) and not details[0]["loc"]:
            raise ValueError(str(details[0]["ctx"]["error"])) from None
        raise ValueError(f"must be {_type_name(kind)}") from None
    except Exception:  # noqa: BLE001  (an annotation may be any object)
        return value


def _keywords(signature: inspect.Signature, hints: Mapping[str, Any]) -> Iterator[Key]:
    for name, parameter in signature.parameters.items():
        if name != "self" and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            kind = hints.get(name, _MISSING)
            yield Key(name, kind, required=parameter.default is _MISSING)


def _has_var_keyword(signature: inspect.Signature) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())


def _has_no_type(keys: Mapping[str, Key], name: str) -> bool:
    """Whether the class has no type of its own for this key, so that the engine's is used."""
    return name not in keys or keys[name].kind is _MISSING


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001  (annotations may use names that only a type checker imports)
        return {}


def _strict(kind: Any) -> Any:
    """`kind` with strict, exact scalars, and with engine types that are parsed from text."""
    if kind in _SCALARS:
        return Annotated[Any, BeforeValidator(_SCALARS[kind])]
    if isinstance(kind, type) and kind.__module__.startswith(_ENGINE) and hasattr(kind, "from_str"):
        return Annotated[Any, BeforeValidator(functools.partial(_engine_value, kind))]
    origin, parts = get_origin(kind), get_args(kind)
    if not parts or origin is Literal:
        return kind
    if origin is Annotated:
        return Annotated[_strict(parts[0]), *parts[1:]]
    inner = tuple(part if part is Ellipsis else _strict(part) for part in parts)
    return Union[inner] if origin in (Union, types.UnionType) else origin[inner]  # noqa: UP007


def _engine_value(kind: Any, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if kind in (Price, Quantity) and isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        value = f"{value:f}" if isinstance(value, Decimal) else str(value)
    if not isinstance(value, str):
        raise ValueError(f"must be text ({kind.__name__})")
    try:
        return kind.from_str(value)
    except Exception as error:  # noqa: BLE001  (the engine raises several kinds)
        raise ValueError(f"must be a valid {kind.__name__}: {' '.join(str(error).split())[:200]}") from None


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


def _unknown_key(name: str, keys: Mapping[str, Key]) -> str:
    similar = nearest(name, keys, 1)
    guess = f" (did you mean '{similar[0]}'?)" if similar else ""
    return f"unknown key{guess}; {_known_keys(keys)}"


def _known_keys(keys: Mapping[str, Key]) -> str:
    """The class's own keys, then those of the engine's base."""
    own_keys = [name for name in keys if name not in BASE_KEYS]
    base_keys = [name for name in keys if name in BASE_KEYS]
    return f"known here: {', '.join(own_keys + base_keys)}"


def _type_name(kind: Any) -> str:
    return inspect.formatannotation(kind).replace("decimal.", "").replace("nautilus_trader.model.", "")


def _received(name: str, value: Any) -> str:
    if value is None:
        return ", got nothing"
    if isinstance(value, (dict, list)):
        return ", got a mapping" if isinstance(value, dict) else ", got a list"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if looks_like_secret(text, name):
        return f", got {HIDDEN}"
    return f", got {ascii(text[:40]) if isinstance(value, str) else text[:40]}{'...' if len(text) > 40 else ''}"
