"""`scripts/bootstrap.sh` on copies of the project, in environments that are not ready for it.

A few for every change; `scripts/hostile-environments.sh` has them all.
"""

import os
import shutil
import ssl
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE_PYTHON = Path(sys._base_executable)  # type: ignore[attr-defined]
PROXY_NAMES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
BROKEN_SHIM = "#!/bin/sh\necho 'pyenv: version 9.9.9 is not installed' >&2\nexit 1\n"


def locked_index() -> str:
    """The package index that the lock file names."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return str(next(found["source"]["registry"] for found in packages if "registry" in found["source"]))


@pytest.fixture(scope="module")
def package_index() -> None:
    """Skips when nothing can be downloaded. Certificates do not matter here, only whether somebody answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        urllib.request.urlopen(f"{locked_index()}/uv/", timeout=5, context=context).close()
    except urllib.error.HTTPError:
        return
    except OSError as error:
        pytest.skip(f"the package index is unreachable: {error}")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what bootstrap needs, never built, in a path with a space."""
    copy = tmp_path / "a project"
    copy.mkdir()
    for name in ("pyproject.toml", "uv.lock", ".python-version", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("src", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def bare_environment(tmp_path: Path) -> dict[str, str]:
    """No TLS variable, no pyenv, and on PATH broken shims first and a real Python 3.13 last."""
    shims, last = tmp_path / "shims", tmp_path / "last"
    shims.mkdir()
    last.mkdir()
    for name in ("python3.13", "python3", "uv"):
        (shims / name).write_text(BROKEN_SHIM)
        (shims / name).chmod(0o755)
    (last / "python3.13").symlink_to(BASE_PYTHON)
    proxies = {name: os.environ[name] for name in PROXY_NAMES if name in os.environ}
    return proxies | {"HOME": str(Path.home()), "PATH": f"{shims}:/usr/bin:/bin:{last}"}


def bootstrap(project: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [project / "scripts" / "bootstrap.sh"],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def assert_ready(project: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert (project / ".venv" / "bin" / "tc").is_file()
    python = project / ".venv" / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import opslab, sys; print(sys.version_info[:2], opslab.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert where.stdout.strip() == f"(3, 13) {project / 'src' / 'opslab' / '__init__.py'}"


@pytest.mark.usefixtures("package_index")
def test_bootstrap_is_not_misled_by_what_other_projects_left_in_the_environment(project: Path, tmp_path: Path) -> None:
    foreign, elsewhere = tmp_path / "foreign", tmp_path / "elsewhere"
    subprocess.run([BASE_PYTHON, "-m", "venv", "--without-pip", foreign], check=True, timeout=60)
    before = sorted(foreign.rglob("*"))
    environment = bare_environment(tmp_path) | {
        "PYENV_VERSION": "9.9.9",
        "VIRTUAL_ENV": str(foreign),
        "UV_PYTHON": "3.11",
        "UV_PROJECT_ENVIRONMENT": str(elsewhere),
        "PYTHONHOME": "/nonexistent",
        "PYTHONPATH": "/nonexistent",
        "CDPATH": "/usr:/",
    }

    assert_ready(project, bootstrap(project, environment))
    assert sorted(foreign.rglob("*")) == before
    assert not elsewhere.exists()

    again = bootstrap(project, environment)
    assert_ready(project, again)
    assert again.stderr.count("\n") == 1, "nothing to do takes one line"


@pytest.mark.usefixtures("package_index")
def test_venv_of_another_python_is_replaced(project: Path, tmp_path: Path) -> None:
    stale = project / ".venv" / "bin"
    stale.mkdir(parents=True)
    (stale / "python").symlink_to("/bin/true")
    (stale / "tc").write_text(f"#!{stale / 'python'}\n")
    (stale / "tc").chmod(0o755)
    (stale / "of_the_other").touch()

    done = bootstrap(project, bare_environment(tmp_path))

    assert "replacing .venv" in done.stderr
    assert_ready(project, done)
    assert not (stale / "of_the_other").exists()


@pytest.mark.usefixtures("package_index")
def test_moved_project_gets_a_venv_of_its_new_place(project: Path, tmp_path: Path) -> None:
    environment = bare_environment(tmp_path)
    assert_ready(project, bootstrap(project, environment))
    moved = project.rename(tmp_path / "moved")
    assert_ready(moved, bootstrap(moved, environment))


@pytest.mark.skipif(
    any(Path(folder, "python3.13").exists() for folder in ("/usr/bin", "/bin", "/usr/local/bin")),
    reason="this machine's own Python 3.13 cannot be hidden",
)
def test_no_python_313_is_an_environment_error_with_a_next_step(project: Path, tmp_path: Path) -> None:
    done = bootstrap(project, {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})

    assert done.returncode == 5
    assert "error: no working CPython 3.13 found; checked:" in done.stderr
    assert "/usr/bin/python3.13: not found" in done.stderr
    assert "hint: install one: apt-get install python3.13" in done.stderr
    assert not (project / ".venv").exists()


def test_named_python_that_does_not_fit_is_refused_and_no_other_is_taken(project: Path, tmp_path: Path) -> None:
    done = bootstrap(project, bare_environment(tmp_path) | {"TC_PYTHON": str(tmp_path / "shims" / "python3.13")})

    assert done.returncode == 5
    assert "error: TC_PYTHON is not a working CPython 3.13" in done.stderr
    assert "hint: set TC_PYTHON to a working one, or unset it" in done.stderr
    assert not (project / ".venv").exists()
