"""Files that ship with the package."""

import json
from importlib.resources import files
from typing import Any

INSTRUMENT = "BTCUSDT"
"""The symbol of the shipped instrument."""


def exchange_info_symbol(symbol: str) -> dict[str, Any]:
    """The shipped `symbols` entry of the venue's exchangeInfo. Raises FileNotFoundError for one we do not ship."""
    text = files(__name__).joinpath(f"instruments/{symbol}.json").read_text(encoding="utf-8")
    entry: dict[str, Any] = json.loads(text)
    return entry


def template(name: str) -> str:
    """The text of a report template."""
    return files(__name__).joinpath(f"templates/{name}").read_text(encoding="utf-8")
