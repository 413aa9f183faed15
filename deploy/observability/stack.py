"""Run exporter, Prometheus and Alertmanager on the loopback interface without containers, until Ctrl-C or SIGTERM.

Prometheus and Alertmanager come from PATH and are started by the scripts that the containers run, with the same rules.
Exit: 0 ended on request, 1 a program ended by itself, 2 usage, 5 a program is missing or a port is in use.
"""

import argparse
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = Path(__file__).resolve().parent
LOOPBACK = "127.0.0.1"
READY_SECONDS = 60.0
END_SECONDS = 30.0
_POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1


class StackError(Exception):
    def __init__(self, message: str, hint: str = "", *, exit_code: int = 5) -> None:
        super().__init__(message)
        self.hint, self.exit_code = hint, exit_code


@dataclass(frozen=True, slots=True)
class Program:
    """One process of the stack."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready_url: str
    log: Path


def arguments(words: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="observability", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--metrics-target",
        metavar="HOST:PORT",
        default=environ.get("TC_METRICS_TARGET"),
        help="scrape this exporter and start none (TC_METRICS_TARGET)",
    )
    parser.add_argument("--metrics-port", type=_port, metavar="PORT", default=9464, help="of the exporter; 9464")
    for program, default in (("prometheus", 9090), ("alertmanager", 9093)):
        variable = f"TC_{program.upper()}_PORT"
        parser.add_argument(
            f"--{program}-port",
            type=_port,
            metavar="PORT",
            default=environ.get(variable) or str(default),
            help=f"{default}, or {variable}; 0 selects a free port, as for every port",
        )
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep databases and logs here; a temporary folder")
    parser.add_argument(
        "--configuration", type=Path, metavar="DIR", default=CONFIGURATION, help="deploy/observability/"
    )
    return parser.parse_args(words)


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


def installed(*names: str) -> str:
    """Path of the first program that PATH has."""
    for name in names:
        if path := shutil.which(name):
            return path
    raise StackError(
        f"{names[-1]} is not on PATH", "apt-get install --no-install-recommends prometheus prometheus-alertmanager"
    )


def listening_port(port: int, name: str) -> int:
    """The port itself when it is free; for 0 any free port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError as error:
            hint = f"--{name}-port 0 selects a free port"
            if name == "metrics":
                hint += f"; --metrics-target {LOOPBACK}:{port} scrapes an exporter that is running already"
            raise StackError(f"port {port} of {LOOPBACK}: {error.strerror}", hint) from error
        return int(listener.getsockname()[1])


def programs(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> list[Program]:
    """What is to be started, in this order."""
    installed("prometheus")
    alertmanager = installed("alertmanager", "prometheus-alertmanager")
    ports = {
        name: listening_port(getattr(options, f"{name}_port"), name)
        for name in ("metrics", "prometheus", "alertmanager")
        if name != "metrics" or options.metrics_target is None
    }
    target = options.metrics_target or f"{LOOPBACK}:{ports['metrics']}"
    shared = {
        **environ,
        "TC_METRICS_TARGET": target,
        "TC_PROMETHEUS_PORT": str(ports["prometheus"]),
        "TC_ALERTMANAGER_PORT": str(ports["alertmanager"]),
        "TC_ALERTMANAGER_PROGRAM": alertmanager,
    }
    found = []
    if "metrics" in ports:
        command = [sys.executable, "-m", "opslab", "metrics", "serve", "--port", str(ports["metrics"])]
        url = f"http://{LOOPBACK}:{ports['metrics']}/healthz"
        found.append(Program("metrics", command, environ, url, data / "metrics.log"))
    for name in ("alertmanager", "prometheus"):
        command = ["/bin/sh", str(options.configuration / name / "start.sh")]
        own = {"TC_STACK_RUN": str(data / f"{name}-run"), "TC_STACK_DATA": str(data / name)}
        url = f"http://{LOOPBACK}:{ports[name]}/-/ready"
        found.append(Program(name, command, {**shared, **own}, url, data / f"{name}.log"))
    return found


@contextmanager
def running(program: Program) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own session: Ctrl-C reaches this process, which ends the other. It does not outlive this one."""
    libc = ctypes.CDLL(None)
    with program.log.open("wb") as log:
        process = subprocess.Popen(
            program.command,
            env=program.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(program: Program, process: subprocess.Popen[bytes], stop: threading.Event) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not stop.is_set() and not _answers(program.ready_url):
        if process.poll() is not None:
            raise StackError(f"{program.name} ended with exit code {process.returncode}: {_last_lines(program.log)}")
        if time.monotonic() > deadline:
            raise StackError(f"{program.name} was not ready after {READY_SECONDS:.0f} s: {_last_lines(program.log)}")
        stop.wait(_POLL_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=READY_SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _last_lines(log: Path) -> str:
    """The last two: of `tc` the error and its hint."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
    return "; ".join(lines[-2:]) or "it logged nothing"


def serve(found: Sequence[Program], data: Path, stop: threading.Event) -> None:
    """Start all, print their addresses, and wait for the end of one or for the request to stop."""
    with ExitStack() as started:
        processes: list[tuple[Program, subprocess.Popen[bytes]]] = []
        for program in found:
            process = started.enter_context(running(program))
            processes.append((program, process))
            wait_until_ready(program, process, stop)
        if not stop.is_set():
            rows = [(program.name, program.ready_url.rsplit("/", 1)[0].removesuffix("/-")) for program, _ in processes]
            print("\n".join(f"{name:14}{value}" for name, value in [*rows, ("data", str(data))]), flush=True)
        while not stop.wait(_POLL_SECONDS):
            for program, process in processes:
                if process.poll() is not None:
                    message = f"{program.name} ended with exit code {process.returncode}: {_last_lines(program.log)}"
                    raise StackError(message, exit_code=1)


def main() -> int:
    options = arguments(sys.argv[1:], os.environ)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        with ExitStack() as folders:
            data = options.data or Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="opslab-")))
            data = data.absolute()
            data.mkdir(parents=True, exist_ok=True)
            serve(programs(options, data, os.environ), data, stop)
    except (StackError, OSError) as error:
        print(f"observability: error: {error}", file=sys.stderr)
        if isinstance(error, StackError) and error.hint:
            print(f"observability: hint: {error.hint}", file=sys.stderr)
        return error.exit_code if isinstance(error, StackError) else 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
