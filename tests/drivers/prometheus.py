"""A real Prometheus, and other servers that log the address on which they listen. Ended by pid."""

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.drivers.tc import wait_until
from tests.drivers.tools import need_tools

START_SECONDS = 120.0
END_SECONDS = 60.0
REQUEST_SECONDS = 60.0
_ADDRESS = re.compile(r'msg="Listening on".* address="?(127\.0\.0\.1:\d+)')
"""Logged by the Prometheus project's web library, in the versions of Debian 12 and 13."""


@dataclass(frozen=True, slots=True)
class Series:
    """A sample of an instant query's result. `labels` include `__name__` where the query keeps it."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Prometheus:
    url: str
    log: Path

    def get(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of the HTTP API below `/api/v1/`; an error of the API fails the test with its text."""
        status, body = request(f"{self.url}/api/v1/{path}", **parameters)
        answer = json.loads(body)
        assert answer["status"] == "success", (path, parameters, status, answer)
        return answer["data"]

    def query(self, expression: str) -> list[Series]:
        """The series of an instant query. A scalar is one series without labels."""
        data = self.get("query", query=expression)
        if data["resultType"] == "scalar":
            return [Series({}, float(data["result"][1]))]
        assert data["resultType"] == "vector", (expression, data["resultType"])
        return [Series(each["metric"], float(each["value"][1])) for each in data["result"]]

    def wait_for_scrape(self, job: str, seconds: float = START_SECONDS) -> None:
        """Wait until a target of the job has been scraped without an error."""
        wait_until(lambda: any(each.value == 1 for each in self.query(f'up{{job="{job}"}}')), f"up of {job}", seconds)

    def scrapes(self, job: str) -> float:
        """How many samples of `up` the job's targets have: it grows by the number of targets with each scrape."""
        return sum(each.value for each in self.query(f'count_over_time(up{{job="{job}"}}[1h])'))

    def wait_for_scrapes(self, job: str, count: int = 1, seconds: float = START_SECONDS) -> None:
        """Wait for `count` more scrapes of a job with one target: the last began after this call."""
        before = self.scrapes(job)
        wait_until(lambda: self.scrapes(job) > before + count, f"{count} scrapes of {job}", seconds)


@contextmanager
def prometheus(config: Path, folder: Path, *options: str) -> Iterator[Prometheus]:
    """A Prometheus that is ready, on a free port of the loopback interface; it has ended when the block ends.

    Args:
        config: its configuration file; relative paths in it are relative to the file.
        folder: of its database and its log; made when it is missing.
        options: more options of the program.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", "--web.listen-address=127.0.0.1:0"]
    with listening("prometheus", [*words, *options], folder / "prometheus.log") as url:
        wait_until(lambda: request(f"{url}/-/ready")[0] == 200, "Prometheus to be ready", START_SECONDS)
        yield Prometheus(url, folder / "prometheus.log")


@contextmanager
def listening(program: str, arguments: Sequence[str], log: Path) -> Iterator[str]:
    """The base URL of a server started with port 0; skips the test, or fails it, when the program is missing."""
    need_tools(program)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield f"http://{_address(process, log)}"
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, as it has logged; fails with its log when it ends before."""

    def logged() -> bool:
        assert process.poll() is None, (process.args, process.returncode, log.read_text())
        return bool(_ADDRESS.search(log.read_text()))

    wait_until(logged, "the server to listen", START_SECONDS)
    address = _ADDRESS.search(log.read_text())
    assert address
    return address[1]


def request(url: str, **parameters: str) -> tuple[int, str]:
    """Status and body of a GET. 0 when nothing listens."""
    try:
        with urllib.request.urlopen(f"{url}?{urlencode(parameters)}", timeout=REQUEST_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""
