"""`scripts/observability`: it starts the stack without containers, and leaves no process behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.drivers.observability_stack import FREE_PORTS, children, environment, lives, stack
from tests.drivers.prometheus import Prometheus, request
from tests.drivers.tc import LIMIT_SECONDS, wait_until
from tests.drivers.tools import need_tools

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, str(ROOT / "deploy" / "observability" / "stack.py")]
"""What the script starts; it needs no program of PATH itself."""
NO_EXPORTER = ["--metrics-target", "127.0.0.1:1,127.0.0.1:2"]


def test_it_starts_answers_and_leaves_no_process(tmp_path: Path) -> None:
    need_tools("prometheus", "prometheus-alertmanager")
    with stack(*NO_EXPORTER, *FREE_PORTS, TC_DOCS_URL="https://docs.test/a&b/", TMPDIR=str(tmp_path)) as (
        process,
        printed,
    ):
        assert set(printed) == {"alertmanager", "prometheus", "data"}
        server = Prometheus(printed["prometheus"], tmp_path)
        (group,) = server.get("rules")["groups"]
        assert group["rules"][0]["annotations"]["runbook_url"].startswith("https://docs.test/a&b/runbooks/")
        assert request(f"{printed['alertmanager']}/api/v2/status")[0] == 200
        targets = Path(printed["data"]) / "prometheus-run" / "targets" / "opslab.yml"
        assert yaml.safe_load(targets.read_text()) == [{"targets": ["127.0.0.1:1", "127.0.0.1:2"]}]
        pids = children(process.pid)
        assert len(pids) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_SECONDS) == 0
        assert not [pid for pid in pids if lives(pid)]
    assert not list(tmp_path.iterdir())


def test_its_programs_do_not_outlive_it(tmp_path: Path) -> None:
    need_tools("prometheus", "prometheus-alertmanager")
    with stack(*NO_EXPORTER, *FREE_PORTS, "--data", str(tmp_path)) as (process, _):
        pids = children(process.pid)
        process.kill()
        process.wait(LIMIT_SECONDS)
        wait_until(lambda: not [pid for pid in pids if lives(pid)], "the end of its programs")


def failed(*options: str, path: Path, **more: str) -> tuple[int, str]:
    """Exit code and errors of a stack that does not start."""
    done = subprocess.run(
        [*PROGRAM, *options],
        env=environment(PATH=str(path), **more),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def programs(folder: Path, **scripts: str) -> Path:
    """A folder for PATH with the programs of the stack, as shell scripts."""
    folder.mkdir()
    for name in ("sh", "sed", "cp", "mkdir", "dirname", "sleep"):
        (folder / name).symlink_to(f"/bin/{name}")
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


ENDS_ON_REQUEST = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path.startswith("/end"):
            os._exit(7)
    def log_message(self, *_):
        pass
(address,) = [word.partition("=")[2] for word in sys.argv if word.startswith("--web.listen-address=")]
host, _, port = address.partition(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""
WAITS: Mapping[str, str] = {"prometheus": "exec sleep 600", "alertmanager": "exec sleep 600"}


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    code, err = failed(*FREE_PORTS, path=programs(tmp_path / "bin", prometheus="exec sleep 600"))
    assert (code, err.splitlines()) == (
        5,
        [
            "observability: error: prometheus-alertmanager is not on PATH",
            "observability: hint: apt-get install --no-install-recommends prometheus prometheus-alertmanager",
        ],
    )


@pytest.mark.parametrize("name", ["metrics", "prometheus", "alertmanager"])
def test_a_port_in_use_is_named(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, err = failed(*FREE_PORTS, f"--{name}-port", str(port), path=programs(tmp_path / "bin", **WAITS))
    more = f"; --metrics-target 127.0.0.1:{port} scrapes an exporter that is running already"
    more = more if name == "metrics" else ""
    assert (code, err.splitlines()) == (
        5,
        [
            f"observability: error: port {port} of 127.0.0.1: Address already in use",
            f"observability: hint: --{name}-port 0 selects a free port"
            + (
                f"; --metrics-target 127.0.0.1:{port} scrapes an exporter that is running already" * (name == "metrics")
            ),
        ],
    )


@pytest.mark.parametrize("port", ["x", "-1", "65536"])
def test_a_wrong_port_is_usage(tmp_path: Path, port: str) -> None:
    code, err = failed("--prometheus-port", port, path=tmp_path)
    assert code == 2
    assert "invalid" in err
    assert failed(path=tmp_path, TC_PROMETHEUS_PORT=port)[0] == 2


def test_a_program_that_does_not_start_is_reported_with_its_last_line(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", **{**WAITS, "alertmanager": "echo no such option; exit 3"})
    code, err = failed(*NO_EXPORTER, *FREE_PORTS, path=path)
    assert (code, err) == (5, "observability: error: alertmanager ended with exit code 3: no such option\n")


def test_a_home_that_does_not_exist_is_reported_as_the_exporter_reports_it(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", **WAITS)
    code, err = failed(*FREE_PORTS, path=path, TC_HOME=str(tmp_path / "none"))
    assert code == 5
    assert err.startswith(f"observability: error: metrics ended with exit code 5: tc: error: the home {tmp_path}/none")
    assert "; tc: hint: " in err


def test_a_program_that_ends_by_itself_ends_the_others(tmp_path: Path) -> None:
    """Prometheus, here a script, ends with a request."""
    need_tools("prometheus-alertmanager")
    own = programs(tmp_path / "bin", prometheus=f'exec {sys.executable} {tmp_path}/until.py "$@"')
    (tmp_path / "until.py").write_text(ENDS_ON_REQUEST)
    path = f"{own}:{os.environ['PATH']}"
    with stack(*NO_EXPORTER, *FREE_PORTS, "--data", str(tmp_path / "data"), PATH=path) as (process, printed):
        pids = children(process.pid)
        with suppress(OSError):
            request(f"{printed['prometheus']}/end")
        assert process.stderr
        assert process.stderr.read() == "observability: error: prometheus ended with exit code 7: it logged nothing\n"
        assert process.wait(LIMIT_SECONDS) == 1
        assert not [pid for pid in pids if lives(pid)]


def test_the_addresses_of_help_are_those_of_the_compose_file() -> None:
    text = (ROOT / "deploy" / "observability" / "compose.yaml").read_text(encoding="utf-8")
    ports = dict(re.findall(r"\$\{(TC_\w+_PORT):-(\d+)\}", text))
    done = subprocess.run([*PROGRAM, "--help"], capture_output=True, text=True, check=True, env=environment())
    assert {name: port for name, port in ports.items() if name != "TC_GRAFANA_PORT"} == {
        variable: port for port, variable in re.findall(r"(\d+), or\s+(TC_\w+)", done.stdout)
    }
