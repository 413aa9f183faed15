"""The Prometheus of tests: it is real, it scrapes, and it reports the errors of its API."""

from pathlib import Path

import pytest

from tests.drivers.prometheus import prometheus, request

CONFIG = """
global: {scrape_interval: 100ms}
scrape_configs:
  - job_name: self
    static_configs: [{targets: ["127.0.0.1:1"]}]
"""


def test_it_scrapes_and_answers_queries(tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG)
    with prometheus(config, tmp_path / "server") as server:
        server.wait_for_scrapes("self")
        up = server.query('up{job="self"}')
        assert [(each.labels["instance"], each.value) for each in up] == [("127.0.0.1:1", 0)]
        assert server.query("vector(2) * 3")[0].value == 6
        with pytest.raises(AssertionError, match="parse error"):
            server.query("up{")
        url = server.url
    assert request(f"{url}/-/ready") == (0, "")


def test_a_wrong_configuration_fails_with_the_log(tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text("scrape_configs: 1\n")
    with pytest.raises(AssertionError, match="cannot unmarshal"), prometheus(config, tmp_path / "server"):
        pass


def test_a_missing_prometheus_skips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CHECK_REQUIRES_TOOLS", raising=False)
    server = prometheus(tmp_path / "none.yml", tmp_path)
    with pytest.raises(pytest.skip.Exception, match="Debian package prometheus"):
        server.__enter__()
