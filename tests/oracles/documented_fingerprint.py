"""The fingerprint as the documentation describes it, without the product's code."""

import hashlib
from collections.abc import Sequence
from decimal import Decimal

COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
BAR_TYPE = "BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"


def documented_fingerprint(rows: Sequence[Sequence[str]], allowed: Sequence[str] = ()) -> str:
    """rows: open time in milliseconds, then five numbers, all as text, in order."""
    text = f"opslab candles v1\n{BAR_TYPE}\n{len(rows)}\n"
    text += "".join(f"allowed {rule}\n" for rule in sorted(allowed))
    for place, name in enumerate(COLUMNS):
        if place == 0:
            data = b"".join(int(row[0]).to_bytes(8, "little", signed=True) for row in rows)
        else:
            data = b"".join(int(Decimal(row[place]) * 10**16).to_bytes(16, "little", signed=True) for row in rows)
        text += f"{name} {hashlib.sha256(data).hexdigest()}\n"
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
