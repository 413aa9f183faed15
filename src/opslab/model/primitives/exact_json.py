"""JSON that keeps every digit of a decimal, trailing zeros included."""

import json
from decimal import Decimal
from typing import Any


def exact_json(value: Any) -> str:
    """Keys sorted, no spaces; a Decimal is a number with a point and all digits. `from_exact_json` reads it back."""
    if isinstance(value, dict):
        inner = ",".join(f"{json.dumps(str(key))}:{exact_json(value[key])}" for key in sorted(value))
        return f"{{{inner}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(exact_json(item) for item in value)}]"
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text if "." in text else f"{text}.0"
    return json.dumps(value, allow_nan=False)


def from_exact_json(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def plain(value: Any) -> Any:
    """For documents: decimals as text, with all their digits."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return f"{value:f}" if isinstance(value, Decimal) else value
