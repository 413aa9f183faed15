"""A picture of a dashboard's layout, from its JSON: each panel as a box with its title, in its place of the grid."""

import json
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

COLUMN_PX, ROW_PX, MARGIN_PX = 40, 14, 12
COLUMNS = 24
KINDS = {
    "stat": ("numbers", "#e8f1fb", "#3b73af"),
    "state-timeline": ("states over time", "#e6f4e6", "#3f8f46"),
    "timeseries": ("lines over time", "#fff4e0", "#b9771b"),
    "table": ("table", "#f1eafa", "#7a56ab"),
    "text": ("text", "#f2f2f2", "#666666"),
}
"""Type of a panel to its name, and the colours of its box and of its edge."""


def svg(dashboard: str) -> str:
    """dashboard: its JSON."""
    content = json.loads(dashboard)
    panels: list[dict[str, Any]] = content["panels"]
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = COLUMNS * COLUMN_PX + 2 * MARGIN_PX, bottom * ROW_PX + 2 * MARGIN_PX
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif">',
        f"<title>{escape(content['title'])}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *(line for panel in panels for line in _panel(panel)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _panel(panel: dict[str, Any]) -> Iterator[str]:
    grid = panel["gridPos"]
    x, y = MARGIN_PX + grid["x"] * COLUMN_PX, MARGIN_PX + grid["y"] * ROW_PX
    if panel["type"] == "row":
        yield _text(x + 2, y + 11, panel["title"], size=13, color="#111111", weight="bold")
        return
    kind, fill, edge = KINDS[panel["type"]]
    width, height = grid["w"] * COLUMN_PX - 6, grid["h"] * ROW_PX - 6
    yield (
        f'<rect x="{x}" y="{y + 3}" width="{width}" height="{height}" rx="3" fill="{fill}" stroke="{edge}">'
        f"<title>{escape(panel['description'])}</title></rect>"
    )
    yield _text(x + 7, y + 19, panel["title"], size=11, color="#111111")
    yield _text(x + 7, y + height - 4, kind, size=9, color=edge)


def _text(x: int, y: int, content: str, *, size: int, color: str, weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{color}">{escape(content)}</text>'
