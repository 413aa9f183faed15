"""A row is canonical in either way of writing it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opslab.model.primitives.canonical import canonical_json, canonical_line

VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
ROWS = st.dictionaries(st.text(max_size=8), VALUES | st.lists(VALUES, max_size=3), max_size=6)


@given(ROWS)
def test_a_row_is_written_as_canonical_json(row: dict[str, Any]) -> None:
    assert canonical_line(row) == canonical_json(row).encode() + b"\n"


def test_its_keys_are_sorted() -> None:
    assert canonical_line({"b": "ß\n", "a": [1, None, True]}) == '{"a":[1,null,true],"b":"ß\\n"}\n'.encode()
