"""A paper run before it starts: what it is planned to be, what is refused, and that venue and engine obey the plan."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from opslab.errors import AlreadyExists, InvalidSpec, Usage
from opslab.lab.context import context_of
from opslab.lab.run.claim import claim
from opslab.lab.run.plan import make_plan
from opslab.model.messages.venue_messages import VenueEndpoints, VenueKey
from opslab.model.pipe.messages import Ended, Listening, ReceivedMessage, VenueEnded
from opslab.model.primitives.instant import close_ns, parse_minute
from opslab.runs.planning.plan import PaperPlan, other_mode
from opslab.runs.processes.child_process import ENGINE_COMMAND, VENUE_COMMAND, ChildProcess
from opslab.settings import Settings
from opslab.specs.load import load_spec
from opslab.system import SystemClock
from tests.drivers.tc import Tc, candle_lines, long_candles

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = VenueKey(api_key="k" * 64, api_secret="s" * 64)
MINUTE_NS = 60_000_000_000
FIRST_CLOSE = close_ns(parse_minute("2024-01-01"))


def parse_plan(tc: Tc, *, paper: dict[str, Any] | None = None, **changes: Any) -> PaperPlan:
    spec = tc.spec(mode="paper", paper=paper or {}, **changes)
    return make_plan(context_of(Settings(tc.home, "--home")), Path(spec), "r1", "paper")


def imported(tc: Tc, name: str, lines: list[str], *options: str) -> None:
    path = tc.home / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    tc.ok("data", "import", str(path), "--dataset", name, *options)


def closes(tc: Tc, dataset: str) -> list[int]:
    """All of a dataset's, read at once."""
    (file,) = (tc.home / "data" / "datasets" / dataset).rglob("*.parquet")
    found: list[int] = pq.read_table(file, columns=["ts_event"]).column("ts_event").cast("int64").to_pylist()
    return found


def test_a_run_sees_the_whole_window_or_as_many_bars_as_are_asked_for(tc: Tc) -> None:
    whole = parse_plan(tc)
    assert (whole.rows, whole.last_close_ns) == (10_080, FIRST_CLOSE + 10_079 * MINUTE_NS)
    few = parse_plan(tc, paper={"max_bars": 7})
    assert (few.rows, few.last_close_ns) == (7, FIRST_CLOSE + 6 * MINUTE_NS)
    window = {"dataset": "btcusdt-sample", "start": "2024-01-02", "end": "2024-01-02T01:00Z"}
    second_day = FIRST_CLOSE + 1440 * MINUTE_NS
    hour = parse_plan(tc, data=window)
    assert (hour.rows, hour.last_close_ns) == (60, second_day + 59 * MINUTE_NS)
    most = parse_plan(tc, data=window, paper={"max_bars": 60})
    assert (most.rows, most.last_close_ns) == (hour.rows, hour.last_close_ns)
    one = parse_plan(tc, data=window, paper={"max_bars": 1})
    assert (one.rows, one.last_close_ns, one.run_dataset().rows) == (1, second_day, 1)


def test_the_last_close_is_a_candle_that_is_there_whatever_is_missing_before_it(tc: Tc) -> None:
    lines = candle_lines(60)
    del lines[31:41]  # minutes 30 to 39
    imported(tc, "holed", lines, "--allow", "gap")
    data = {"dataset": "holed"}
    assert parse_plan(tc, data=data, paper={"max_bars": 30}).last_close_ns == FIRST_CLOSE + 29 * MINUTE_NS
    assert parse_plan(tc, data=data, paper={"max_bars": 31}).last_close_ns == FIRST_CLOSE + 40 * MINUTE_NS
    inside = parse_plan(tc, data={**data, "start": "2024-01-01T00:35Z"}, paper={"max_bars": 2})
    assert inside.last_close_ns == FIRST_CLOSE + 41 * MINUTE_NS


@pytest.mark.parametrize("start", [None, "2017-07-14T02:41Z", "2017-09-21T00:00Z", "2017-12-01"])
def test_the_last_close_is_found_in_every_part_of_a_long_dataset(bare_tc: Tc, start: str | None) -> None:
    tc = bare_tc
    tc.ok("data", "import", str(long_candles(tc.home / "long.csv", rows=210_000)), "--dataset", "long")
    all_closes = closes(tc, "long")
    assert len(all_closes) == 210_000
    first = 0 if start is None else next(n for n, ns in enumerate(all_closes) if ns >= close_ns(parse_minute(start)))
    data = {"dataset": "long", **({"start": start} if start else {})}
    for rows in (1, 999, 100_000, 100_001, 210_000 - first):
        if first + rows <= 210_000:
            plan = parse_plan(tc, data=data, paper={"max_bars": rows})
            assert (plan.rows, plan.last_close_ns) == (rows, all_closes[first + rows - 1])


def test_more_bars_than_there_are_is_a_mistake_in_its_place_and_nothing_is_written(tc: Tc) -> None:
    before = sorted(tc.home.rglob("*"))
    spec = tc.home / "s.yaml"
    text = (EXAMPLES / "ops-smoke-paper.yaml").read_text()
    spec.write_text(text.replace("max_bars: 60", "max_bars: 10081"))
    answer = tc("run", "init", "--spec", "s.yaml", "--run-id", "r1")
    assert answer.code == 2
    line = text.splitlines().index("  max_bars: 60") + 1
    assert f"s.yaml:{line}:3: paper.max_bars: must be at most 10080, the candles of btcusdt-sample" in answer.err
    with pytest.raises(InvalidSpec, match="1 mistake"):
        parse_plan(tc, data={"dataset": "btcusdt-sample", "end": "2024-01-01T00:05Z"}, paper={"max_bars": 6})
    (tc.home / "spec.yaml").unlink()
    spec.unlink()
    assert sorted(tc.home.rglob("*")) == before


def test_candles_that_no_venue_could_send_are_refused(tc: Tc) -> None:
    lines = candle_lines(10)
    lines[5] = lines[5].replace("42000.1,42000.1,42000.1,42000.1", "42000.1,42000.0,42000.1,42000.1")
    imported(tc, "broken", lines, "--allow", "not_enclosed")
    backtest, paper = tc.spec("b.yaml", dataset="broken"), tc.spec("p.yaml", dataset="broken", mode="paper")
    assert tc("run", "init", "--spec", backtest, "--run-id", "r1").code == 0
    answer = tc("run", "init", "--spec", paper, "--run-id", "r2")
    assert (answer.code, "not_enclosed" in answer.err) == (1, True)
    assert not tc.run_folder("r2").exists()


def test_init_records_a_paper_run_and_hints_at_what_runs_it(tc: Tc) -> None:
    spec = str(EXAMPLES / "order-lifecycle-paper.yaml")
    answer = tc.ok("run", "init", "--spec", spec, "--run-id", "r1")
    assert f"hint: tc run paper --spec {spec} --run-id r1" in answer.err
    shown = tc.json("run", "show", "r1")
    assert (shown["mode"], shown["status"], shown["dataset"]["rows"]) == ("paper", "initialized", 60)
    assert (shown["result_digest"], shown["reproduces"]) == (None, None)
    assert tc.events("r1")[0]["payload"]["mode"] == "paper"
    assert [run["mode"] for run in tc.json("run", "list", "--mode", "paper")["runs"]] == ["paper"]
    other = tc.home / "other.yaml"
    other.write_text(Path(spec).read_text().replace("speed: max", "speed: 601"))
    context = context_of(Settings(tc.home, "--home"))
    with pytest.raises(AlreadyExists) as caught, claim(context, make_plan(context, other, "r1", "paper")):
        pass
    assert [found["field"] for found in caught.value.differences] == ["paper.speed"]


def test_a_command_for_one_mode_refuses_a_spec_of_the_other(tc: Tc) -> None:
    spec = str(EXAMPLES / "ops-smoke-paper.yaml")
    tc.ok("run", "init", "--spec", spec, "--run-id", "r1")
    for run_id in ("r1", "r2"):
        answer = tc("run", "backtest", "--spec", spec, "--run-id", run_id)
        assert (answer.code, answer.out) == (2, "")
        assert "the spec's mode is paper" in answer.err
        assert f"hint: tc run paper --spec {spec}" in answer.err
    assert not tc.run_folder("r2").exists()
    assert [event["event"] for event in tc.events("r1")] == ["run_initialized"]
    with pytest.raises(Usage, match="the spec's mode is backtest") as caught:
        make_plan(context_of(Settings(tc.home, "--home")), Path(tc.spec()), "r3", "paper")
    assert str(caught.value.hint).startswith("tc run backtest --spec ")


def test_a_paper_run_cannot_be_reproduced(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", str(EXAMPLES / "ops-smoke-paper.yaml"), "--run-id", "r1")
    answer = tc("run", "reproduce", "r1")
    assert answer.code == 2
    assert "is a paper run: it depends on a clock and has no result digest" in answer.err
    assert "hint: tc run compare" in answer.err


def test_a_refusal_says_which_mode_is_wanted(tc: Tc) -> None:
    loaded = load_spec(Path(tc.spec("p.yaml", mode="paper")))
    refusal = other_mode(loaded, "backtest")
    assert (refusal.exit_code, refusal.hint) == (2, f"tc run paper --spec {tc.home / 'p.yaml'}")


def test_the_plans_of_venue_and_engine_say_what_the_spec_says(tc: Tc) -> None:
    account = {"starting_balances": {"USDT": "1000.5"}, "leverage": 3, "fees": {"maker": "-0.0001", "taker": 0.001}}
    paper = {"speed": 30, "max_bars": 9, "on_stop": "leave", "ticks_per_minute": 4, "latency_ms": 20}
    data = {"dataset": "btcusdt-sample", "start": "2024-01-02", "end": "2024-01-03"}
    changes = {"account": account, "risk": {"profile": "tiny"}, "observability": {"journal": False}, "data": data}
    plan = parse_plan(tc, paper={**paper, "silent_after_seconds": {"quotes": 7}}, **changes)
    venue = plan.venue(tc.home, tc.home / "runtime" / "venues" / "r1", KEY, "token")
    assert (venue.name, venue.host, venue.port, venue.start, venue.token) == ("r1", "127.0.0.1", 0, "kline_1m", "token")
    assert (venue.speed, venue.pace, venue.max_bars) == (30.0, "clock", 9)
    assert (venue.ticks_per_minute, venue.latency_ms) == (4, 20)
    assert (venue.start_ms, venue.end_ms) == (parse_minute("2024-01-02"), parse_minute("2024-01-03"))
    assert venue.account.model_dump(mode="json") == {
        "balance": "1000.5",
        "leverage": 3,
        "maker_fee": "-0.0001",
        "taker_fee": "0.001",
    }
    live = plan.live(endpoints(), 2)
    assert (live.number, live.rows, live.on_stop, live.acknowledges_bars) == (
        2,
        9,
        "leave",
        False,
    )
    assert live.last_close_ns == plan.last_close_ns
    assert live.limits.max_notional_per_order == "1000"
    assert live.silent_after_seconds == {"bars": 5.0, "quotes": 7.0, "trades": 5.0}


def test_at_full_speed_the_venue_waits_for_word_of_each_bar(tc: Tc) -> None:
    plan = parse_plan(tc, paper={"speed": "max"})
    venue, live = plan.venue(tc.home, tc.home, KEY, "token"), plan.live(endpoints(), 1)
    assert (venue.speed, venue.pace, live.acknowledges_bars) == (None, "bar_done", True)
    assert live.silent_after_seconds == {"bars": 10.0, "quotes": 10.0, "trades": 10.0}


def endpoints() -> VenueEndpoints:
    return VenueEndpoints(rest_url="", ws_url="", ws_trading_url="", api_key="", api_secret="")


def test_venue_and_engine_obey_their_plans(tc: Tc, tmp_path: Path) -> None:
    """A live node sees the bars of the plan, the last of them closes when the plan says."""
    data = {"dataset": "btcusdt-sample", "start": "2024-01-02T03:04Z"}
    plan = parse_plan(tc, data=data, paper={"speed": 3000, "max_bars": 12})
    folder = tmp_path / "ledger"
    folder.mkdir()
    clock = SystemClock()
    venue = ChildProcess("venue", plan.venue(tc.home, folder, KEY, "t"), tmp_path / "venue.log", clock, VENUE_COMMAND)
    try:
        reported = messages_of(venue)
        where = next(message.endpoints for message in reported if isinstance(message, Listening))
        engine = ChildProcess("engine", plan.live(where, 1), tmp_path / "engine.log", clock, ENGINE_COMMAND)
        try:
            received = list(messages_of(engine))
        finally:
            engine.close()
        venue.stop()
        ended = next(message.progress for message in reported if isinstance(message, VenueEnded))
    finally:
        venue.close()
    assert engine.failure(str) is None, (tmp_path / "engine.log").read_text()
    assert next(message.bars for message in received if isinstance(message, Ended)) == 12
    assert (ended.state, ended.minutes, ended.last_open) == ("ended", 12, "2024-01-02T03:15:00Z")
    assert close_ns(parse_minute("2024-01-02T03:15:00Z")) == plan.last_close_ns


def messages_of(child: ChildProcess) -> Iterator[ReceivedMessage]:
    for batch in child.messages():
        yield from batch
