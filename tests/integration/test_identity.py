"""The input digest: everything that a result may depend on changes it, and no name does."""

import shutil
from pathlib import Path
from typing import Any

import opslab
from tests.drivers.tc import Tc, candle_lines

STRATEGIES = Path(__file__).parents[1] / "strategies"


def asked(tc: Tc, spec: str, run_id: str, **environment: Any) -> Any:
    """What `init` says of it: the digest is made as for a run, and nothing is run."""
    answer = tc("run", "init", "--spec", spec, "--run-id", run_id, "--json", **environment)
    assert answer.code == 0, answer.err
    return answer.document


def test_another_version_of_anything_installed_changes_it(tc: Tc, tmp_path: Path) -> None:
    digests = [asked(tc, tc.spec(), "without")["input_digest"]]
    for version in ("1.0", "1.1"):
        place = tmp_path / version
        record = place / f"extra-{version}.dist-info"
        record.mkdir(parents=True)
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: extra\nVersion: {version}\n")
        digests.append(asked(tc, tc.spec(), f"with-{version}", PYTHONPATH=str(place))["input_digest"])
    assert len(set(digests)) == 3
    assert asked(tc, tc.spec(), "again")["input_digest"] == digests[0]


def test_a_changed_file_of_the_package_changes_it(tc: Tc, tmp_path: Path) -> None:
    assert opslab.__file__ is not None
    package = tmp_path / "opslab"
    shutil.copytree(Path(opslab.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    here = asked(tc, tc.spec(), "here")
    copied = asked(tc, tc.spec(), "copied", PYTHONPATH=str(tmp_path))
    assert copied["input_digest"] == here["input_digest"]  # the same files somewhere else
    template = package / "resources" / "templates" / "report.md.j2"
    template.write_text(template.read_text() + "\n")
    changed = asked(tc, tc.spec(), "changed", PYTHONPATH=str(tmp_path))
    assert changed["input_digest"] != here["input_digest"]
    parts = {name for name, value in here["identity"].items() if changed["identity"][name] != value}
    assert parts == {"code_digest"}


def test_a_changed_candle_changes_it_and_the_datasets_name_does_not(tc: Tc) -> None:
    lines = candle_lines(30)
    found = []
    for name, volume in (("one", "1.5"), ("same", "1.5"), ("other", "1.6")):
        csv = tc.home / f"{name}.csv"
        csv.write_text("\n".join([*lines[:-1], lines[-1].replace(",1.5", f",{volume}")]) + "\n")
        tc.ok("data", "import", str(csv), "--dataset", name)
        found.append(asked(tc, tc.spec(dataset=name), name)["input_digest"])
    assert found[0] == found[1] != found[2]


def test_a_changed_line_of_the_strategy_changes_it_and_notes_beside_it_do_not(tc: Tc) -> None:
    folder = tc.home / "own"
    shutil.copytree(STRATEGIES / "good" / "values", folder)
    spec = tc.own_spec(folder, (folder / "strategy.yaml").read_text())
    first = asked(tc, spec, "first")["input_digest"]
    (folder / "notes.md").write_text("to be looked at")
    Path(spec).write_text(f"# a note\n{Path(spec).read_text()}")
    assert asked(tc, spec, "noted")["input_digest"] == first
    (folder / "values.py").write_text((folder / "values.py").read_text() + "# another line\n")
    assert asked(tc, spec, "changed")["input_digest"] != first
