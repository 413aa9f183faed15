"""`scripts/observability` as a process, and a configuration of the stack that does everything each second."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.observability.source.rules import rule_file, shortened

from tests.drivers.tc import LIMIT_SECONDS

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "observability"
FREE_PORTS = ("--metrics-port", "0", "--prometheus-port", "0", "--alertmanager-port", "0")


def environment(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("TC_")}, **more}


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@contextmanager
def stack(*options: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process, and the addresses that it printed by name."""
    process = subprocess.Popen(
        [SCRIPT, *options],
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout
        printed: dict[str, str] = {}
        while "data" not in printed:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            name, value = line.split()
            printed[name] = value
        yield process, printed
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_SECONDS)


def fast_configuration(folder: Path) -> Path:
    """A copy of the stack's configuration: intervals of 1 s, and the rules of the same table with shorter times."""
    source = ROOT / "deploy" / "observability"
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(source / name, folder / name)
    for path in (folder / "prometheus" / "prometheus.yml", folder / "alertmanager" / "alertmanager.yml"):
        text = path.read_text(encoding="utf-8")
        for old in ("_interval: 5s", "_timeout: 4s", "group_wait: 5s", "group_interval: 30s"):
            text = text.replace(old, old.rpartition(" ")[0] + " 1s")
        path.write_text(text, encoding="utf-8")
    (folder / "prometheus" / "rules" / "opslab.yml").write_text(rule_file(shortened(seconds=1)), encoding="utf-8")
    return folder
