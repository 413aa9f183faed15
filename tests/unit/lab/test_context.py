"""The context that commands open: its home, and texts without paths of this machine."""

import sys
from pathlib import Path

from opslab.lab.context import context_of
from opslab.settings import Settings


def test_the_layout_is_that_of_the_home(tmp_path: Path) -> None:
    assert context_of(Settings(tmp_path, "--home")).layout.home == tmp_path


def test_known_folders_become_names_and_other_paths_their_last_part(tmp_path: Path) -> None:
    redact = context_of(Settings(tmp_path / "home", "--home")).redact
    package = Path(sys.modules["opslab"].__file__ or "").parent
    assert redact(f"{tmp_path}/home/runtime/x.log") == "<home>/runtime/x.log"
    assert redact(f"{package}/lab/context.py, line 3") == "opslab/lab/context.py, line 3"
    assert redact(f"{sys.prefix}/lib/x.so") == "<env>/lib/x.so"
    assert redact("cannot read /etc/secret/token") == "cannot read .../token"


def test_each_home_has_its_own_redaction(tmp_path: Path) -> None:
    one, two = (context_of(Settings(tmp_path / name, "--home")).redact for name in ("one", "two"))
    assert one(f"{tmp_path}/one/x") == "<home>/x"
    assert not two(f"{tmp_path}/one/x").startswith("<home>")
