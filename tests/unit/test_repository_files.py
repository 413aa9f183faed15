"""Files of the repository host: they parse, the workflow has least rights, and no page invents an address."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
FORMS = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PAGES = [ROOT / "SECURITY.md", ROOT / "CODE_OF_CONDUCT.md", *sorted(GITHUB.rglob("*.md"))]
MAJOR_VERSION = re.compile(r"[\w-]+/[\w./-]+@v\d+")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [*sorted(GITHUB.rglob("*.yml")), ROOT / "mkdocs.yml"], ids=lambda path: path.name)
def test_yaml_parses(path: Path) -> None:
    assert isinstance(load(path), dict)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_has_what_the_host_requires(path: Path) -> None:
    form = load(path)
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    ids = [field["id"] for field in fields]
    assert len(set(ids)) == len(ids)
    assert {field["type"] for field in form["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_least_rights_and_actions_of_a_major_version(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert not any("permissions" in job for job in workflow["jobs"].values())
    assert all(MAJOR_VERSION.fullmatch(step["uses"]) for step in steps if "uses" in step)


def test_the_workflow_runs_the_check_of_the_project() -> None:
    (job,) = load(GITHUB / "workflows" / "check.yml")["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == ["scripts/check.sh"]
    assert (ROOT / commands[0]).is_file()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_names_no_address_and_its_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b[\w.+-]+@[\w-]+\.\w+", text)
    assert not re.search(r"https?://", text)
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (path.parent / link).exists(), link
