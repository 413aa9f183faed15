"""Value types of a run spec: exact numbers, names, minutes, class paths.

Each type has the message of its mistakes and its JSON Schema.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from opslab.errors import BadId
from opslab.model.primitives.canonical import decimal_text
from opslab.model.primitives.exact_json import plain
from opslab.model.primitives.ids import DATASET_ID_RULE, RUN_ID_RULE, DatasetId, RunId
from opslab.model.primitives.instant import iso_minute, parse_minute

MAX_SPEED = 1_000_000
"""Market minutes per minute."""
_NUMBER = re.compile(r"[-+]?\d{1,18}(\.\d{1,12})?", re.ASCII)
_CLASS_PATH = re.compile(r"([A-Za-z_]\w{0,99}\.){0,9}[A-Za-z_]\w{0,99}:[A-Za-z_]\w{0,99}", re.ASCII)
_MINUTE = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:00)?Z)?", re.ASCII)
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def _exact(value: Any) -> Any:
    """Convert numbers and decimal text to Decimal. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return Decimal(value)
    if isinstance(value, (str, Decimal)) and _NUMBER.fullmatch(str(value)):
        return Decimal(str(value))
    raise ValueError("must be a number of at most 18 digits and 12 decimals, such as 0.0005")


def _speed(value: Any) -> Any:
    if value == "max":
        return value
    try:
        speed = _exact(value)
    except ValueError:
        speed = Decimal(0)
    if not 1 <= speed <= MAX_SPEED:
        raise ValueError(f"must be a number from 1 to {MAX_SPEED}, or max")
    return speed


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
    """Any YAML values: the config class checks their types."""
    if isinstance(value, dict):
        return value
    raise ValueError("must be a mapping of the config class's keys")


_NAME_PATTERN = "^(?!.*__)[{first}][{first}._-]{{0,62}}[{first}_-]$|^[{first}]$"
SpecDecimal = Annotated[
    Decimal,
    BeforeValidator(_exact),
    PlainSerializer(decimal_text, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{_NUMBER.pattern}$"}]}),
]
Speed = Annotated[
    Decimal | Literal["max"],
    BeforeValidator(_speed),
    PlainSerializer(lambda speed: speed if speed == "max" else decimal_text(speed), return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "max"},
                {"type": "number", "minimum": 1, "maximum": MAX_SPEED},
                {"type": "string", "pattern": f"^{_NUMBER.pattern}$"},
            ]
        }
    ),
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
