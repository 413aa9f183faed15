"""`tc metrics serve` as a process, and scrapes of it."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tests.drivers.tc import WAIT_SECONDS, Tc

Labels = Mapping[str, str]
Scraped = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""(name, labels) to value, of every sample."""


@dataclass(frozen=True, slots=True)
class Exporter:
    url: str
    """Without a path."""
    process: subprocess.Popen[str]
    addresses: tuple[str, ...]

    def get(self, path: str, accept: str = "") -> tuple[int, str, str]:
        """Status, content type and body of an answer."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"Accept": accept} if accept else {})
        try:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    def scrape(self) -> Scraped:
        status, _, text = self.get("/metrics")
        assert status == 200, (status, text)
        return scraped(text)


def scraped(text: str) -> Scraped:
    """The samples of a text; no series has two."""
    samples: Scraped = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"two samples of {key}"
            samples[key] = sample.value
    return samples


def value(samples: Scraped, name: str, **labels: str) -> float | None:
    """The value of a series; None: there is none."""
    return samples.get((name, frozenset(labels.items())))


def series(samples: Scraped, name: str, **labels: str) -> dict[frozenset[tuple[str, str]], float]:
    """Labels to value of the series of a name that have these labels among others."""
    wanted = set(labels.items())
    return {key: number for (known, key), number in samples.items() if known == name and wanted <= key}


def state(samples: Scraped, name: str, label: str = "state", **labels: str) -> str | None:
    """Which of the states is 1; None: the family has no series. Fails unless it is exactly one."""
    found = series(samples, name, **labels)
    present = [dict(key)[label] for key, number in found.items() if number == 1]
    assert len(present) == (1 if found else 0), (name, labels, found)
    return present[0] if present else None


@contextmanager
def exporter(tc: Tc, *options: str) -> Iterator[Exporter]:
    """Serve the home on a free port until the block ends; then it must end with exit code 0."""
    process = tc.start("metrics", "serve", "--port", "0", "--json", *options)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=WAIT_SECONDS)
        document = json.loads(line)
        yield Exporter(document["metrics"].removesuffix("/metrics"), process, tuple(document["addresses"]))
        assert process.poll() is None, "the exporter has ended by itself"
        os.kill(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors, errors
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
