"""The whole chain: a fault at the venue of a real paper run, its event, live file, scrape, rule, Alertmanager, webhook.

All programs are real. Intervals and `for` are 1 s, in rules that are generated from the table of the shipped ones.
"""

import json
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from tests.drivers.observability_stack import FREE_PORTS, fast_configuration, stack
from tests.drivers.paper_run import Event, PaperRun, paper_spec
from tests.drivers.prometheus import Prometheus
from tests.drivers.tc import Tc, wait_until
from tests.drivers.tools import need_tools
from tests.drivers.webhook import Webhook, webhook

BARS = "btcusdt@kline_1m"
SILENT = {"bars": 3, "quotes": 3, "trades": 3}
TOLERANCE_SECONDS = 2.0
"""Samples and evaluations have the time at which they began; the clock of all is that of this machine."""


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def feed(run: PaperRun, to: str, after: int = 0) -> Event:
    return run.wait_for("feed_state_changed", lambda told: (told["feed"], told["to"]) == ("bars", to), after=after)


def live_at(run: PaperRun, state: str) -> float:
    """Time of the live file that has the feed bars in that state."""
    path = run.home / "runtime" / "live" / "pp.json"
    written: list[str] = []

    def holds() -> bool:
        live = json.loads(path.read_text())
        if live["paper"]["feeds"]["bars"]["state"] == state:
            written.append(live["heartbeat_at"])
        return bool(written)

    wait_until(holds, f"a live file with bars {state}")
    return seconds_of(written[0])


def first_at(server: Prometheus, selector: str, not_before_s: float) -> float:
    """Time of the first sample with the value 1."""
    samples: list[float] = []

    def holds() -> bool:
        for series in server.get("query", query=f"{selector}[10m]")["result"]:
            samples.extend(float(at) for at, value in series["values"] if value == "1" and at >= not_before_s)
        return bool(samples)

    wait_until(holds, f"a sample of {selector}")
    return min(samples)


def hops(run: PaperRun, server: Prometheus, hook: Webhook, fault_s: float, event: Event, *, silent: bool) -> None:
    """Wait for each step after the fault began or ended, print the times, and require their order."""
    state, status = ("silent", "firing") if silent else ("live", "resolved")
    earliest_s = fault_s - TOLERANCE_SECONDS
    times = {
        "fault": fault_s,
        "event": seconds_of(event["time"]),
        "live file": live_at(run, state),
        "scrape": first_at(server, f'opslab_feed_state{{run_id="pp",feed="bars",state="{state}"}}', earliest_s),
    }
    if silent:
        rule = 'ALERTS{alertname="FeedSilent",alertstate="firing"}'
        times["rule"] = first_at(server, rule, earliest_s)
    times["notification"] = hook.wait_for("FeedSilent", status, run_id="pp", feed="bars").received_s
    print(f"\nthe fault {'begins' if silent else 'ends'}")
    for name, at_s in times.items():
        print(f"  {name:14}{at_s - fault_s:6.2f} s")
    order = list(times.values())
    assert all(later > earlier - TOLERANCE_SECONDS for earlier, later in pairwise(order))


def test_a_fault_reaches_the_operator_and_its_end_does_too(tc: Tc, tmp_path: Path) -> None:
    need_tools("prometheus", "prometheus-alertmanager")
    options = ["--configuration", str(fast_configuration(tmp_path / "stack")), "--data", str(tmp_path / "data")]
    with (
        webhook() as hook,
        stack(*FREE_PORTS, *options, TC_HOME=str(tc.home), TC_ALERT_WEBHOOK_URL=hook.url) as (_, printed),
    ):
        server = Prometheus(printed["prometheus"], tmp_path)
        server.wait_for_scrape("opslab")
        with PaperRun(tc, paper_spec(tc, speed=120, silent_after_seconds=SILENT)) as run:
            feed(run, "live")
            first_at(server, 'opslab_feed_state{run_id="pp",feed="bars",state="live"}', 0)
            at, begins_s = run.events[-1]["seq"], time.time()
            run.fault("silence", stream=BARS)
            silent = feed(run, "silent", at)
            hops(run, server, hook, begins_s, silent, silent=True)
            alert = hook.wait_for("FeedSilent", "firing", run_id="pp")
            assert alert.labels["severity"] == "critical"
            assert alert.labels["instance"] == printed["metrics"].removeprefix("http://")
            assert alert.annotations["summary"] == "Run pp receives no bars: check its venue, or stop the run"
            assert alert.annotations["runbook_url"] == "http://127.0.0.1:8000/runbooks/feed-silent/"
            ends_s = time.time()
            run.end_faults()
            hops(run, server, hook, ends_s, feed(run, "live", silent["seq"]), silent=False)
            run.process.terminate()
            assert run.end().code == 130
        hook.wait_for("RunInterrupted", "firing", run_id="pp")
        tc.ok("run", "acknowledge", "pp", "--reason", "drill")
        hook.wait_for("RunInterrupted", "resolved", run_id="pp")
    assert {one.labels["alertname"] for one in hook.received} == {"FeedSilent", "RunInterrupted"}
