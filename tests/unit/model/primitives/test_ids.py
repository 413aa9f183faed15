"""An id is safe to join to a path, or refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslab.errors import BadId
from opslab.model.primitives.ids import DatasetId, RunId, shown

BAD = [
    "", ".", "..", "../x", "a/b", "/abs", "a\\b", "a" * 65, "a" * 300, "a\nb", "a\x00b", "\x1b[31m", "🚀", "ａ", "-x",
    "--help", ".hidden", "a__b", "a.", "a b", " a", "a ", "é", "CON\t",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_bad_ids_are_refused_with_exit_code_2(text: str) -> None:
    for kind in (RunId, DatasetId):
        with pytest.raises(BadId) as caught:
            kind(text)
        assert caught.value.exit_code == 2
        assert caught.value.message.isprintable()


@pytest.mark.parametrize("text", ["a", "7", "r.1", "A-b_c.d", "a" * 64, "x..y"])
def test_good_run_ids_stay_as_they_are(text: str) -> None:
    assert RunId(text) == text


def test_dataset_ids_are_lower_case_so_that_no_file_system_confuses_two() -> None:
    with pytest.raises(BadId):
        DatasetId("Sample")


@given(st.text(max_size=80))
def test_an_id_never_leaves_its_folder(text: str) -> None:
    try:
        run_id = RunId(text)
    except BadId:
        return
    root = Path("/home-of-runs")
    assert (root / run_id).resolve().parent == root


@given(st.text())
def test_shown_text_is_one_printable_line_of_bounded_length(text: str) -> None:
    result = shown(text)
    assert result.isprintable()
    assert len(result) <= 60 * 10 + 40
