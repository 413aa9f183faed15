"""The continuous integration installs what the tests need of the system, and lets them fail without it."""

import re
from pathlib import Path

import pytest

from tests.drivers import tools

CI = Path(__file__).parents[2] / ".ci" / "run"


def test_ci_installs_the_package_of_every_program() -> None:
    found = re.search(r"^packages=\((.*)\)$", CI.read_text(), re.MULTILINE)
    assert found
    assert set(found[1].split()) == set(tools.PACKAGES.values())
    assert f"export {tools.REQUIRED}=" in CI.read_text()


@pytest.mark.parametrize(("required", "end"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_missing_program_skips_and_fails_on_ci(
    monkeypatch: pytest.MonkeyPatch, required: str, end: type[BaseException]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv(tools.REQUIRED, required)
    with pytest.raises(end, match="mount is missing"):
        tools.need_tools("mount")
