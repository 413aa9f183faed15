"""`tc connectivity readiness`: only presence of variables, no network, no value anywhere."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import Answer, Tc
from tests.fakes.scripted_server import ScriptedServer, ServerConnection

SECRETS: dict[str, Any] = {
    "MY_KEY": "hunter2-first",
    "MY_SECRET": "Zx9Qw8Er7Ty6Ui5Op4As3Df2",
    "MY_PASS": "correct horse battery",
}
WITNESS = """\
import os, sys
def witness(event, arguments):
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        file = os.open(os.environ["WITNESS_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, (event + chr(10)).encode())
        os.close(file)
        raise ConnectionRefusedError(111, "the network is closed")
sys.addaudithook(witness)
"""
BUG = """\
import opslab.connectivity.readiness as readiness, opslab.settings as settings
def broken(value):
    raise RuntimeError("a bug near the value")
settings._is_set = broken
"""


def readiness_block(**changes: Any) -> dict[str, Any]:
    names = {"required_env": ["MY_KEY", "MY_SECRET"], "optional_env": ["MY_PASS"]}
    return {"enabled": True, "target": "testnet", "credential_placeholders": names, **changes}


def readiness(tc: Tc, *words: str, block: dict[str, Any] | None = None, **environment: Any) -> Answer:
    changes: dict[str, Any] = {} if block is None else {"connectivity_readiness": block}
    return tc("connectivity", "readiness", "--spec", tc.spec(**changes), "--json", *words, **environment)


def at_start(folder: Path, program: str) -> dict[str, str]:
    """Environment in which Python runs `program` before anything else."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(program)
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


def files_with(folder: Path, *texts: str) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if any(text.encode() in path.read_bytes() for text in texts)]


@pytest.mark.parametrize(
    ("environment", "code", "state"),
    [
        (SECRETS, 0, "configured"),
        ({"MY_KEY": "x", "MY_SECRET": "x"}, 0, "configured"),
        ({"MY_KEY": "x"}, 1, "missing_credentials"),
        ({"MY_KEY": "x", "MY_SECRET": ""}, 1, "missing_credentials"),
        ({"MY_KEY": "x", "MY_SECRET": " \t\n"}, 1, "missing_credentials"),
        ({"MY_KEY": "x", "MY_SECRET": "\udcff\udcfe"}, 3, "unknown"),
        ({}, 1, "missing_credentials"),
    ],
)
def test_exit_codes_by_what_is_set(bare_tc: Tc, environment: dict[str, str], code: int, state: str) -> None:
    answer = readiness(bare_tc, block=readiness_block(), **environment)
    assert (answer.code, answer.document["state"]) == (code, state)


def test_a_spec_without_readiness_is_disabled(bare_tc: Tc) -> None:
    for requested in (None, {"enabled": False}, readiness_block(enabled=False)):
        answer = readiness(bare_tc, block=requested)
        assert (answer.code, answer.document["state"]) == (0, "disabled")


@pytest.mark.parametrize(
    "requested", [{"enabled": True}, readiness_block(target=None), readiness_block(credential_placeholders={})], ids=str
)
def test_a_block_with_nothing_to_check_is_an_invalid_config_of_a_valid_spec(
    bare_tc: Tc, requested: dict[str, Any]
) -> None:
    requested = {name: value for name, value in requested.items() if value is not None}
    answer = readiness(bare_tc, block=requested, **SECRETS)
    assert (answer.code, answer.document["state"]) == (1, "invalid_config")
    bare_tc.ok("spec", "validate", "--spec", bare_tc.spec(connectivity_readiness=requested))


@pytest.mark.parametrize(
    "requested",
    [
        readiness_block(venue="kraken"),
        readiness_block(credential_placeholders={"required_env": ["MY_KEY", "MY_KEY"]}),
        readiness_block(credential_placeholders={"required_env": ["MY_KEY"], "optional_env": ["MY_KEY"]}),
        readiness_block(credential_placeholders={"required_env": ["my_key"]}),
        readiness_block(enabled="yes"),
    ],
    ids=["venue", "twice", "overlap", "lower case", "enabled"],
)
def test_an_invalid_block_is_an_invalid_spec(bare_tc: Tc, requested: dict[str, Any]) -> None:
    answer = readiness(bare_tc, block=requested)
    assert answer.code == 2
    assert all(mistake["line"] for mistake in answer.document["error"]["mistakes"])


def test_a_run_that_does_not_exist_exits_with_5(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "night-1")
    answer = readiness(tc, "--run-id", "night-2", block=readiness_block())
    assert answer.code == 5
    assert "night-1" in answer.document["error"]["hint"]


def test_it_is_recorded_before_and_after_a_run_without_any_value(tc: Tc, tmp_path: Path) -> None:
    spec = tc.spec(connectivity_readiness=readiness_block())
    tc.ok("run", "init", "--spec", spec, "--run-id", "r1")
    first = readiness(tc, "--run-id", "r1", block=readiness_block())
    tc.ok("run", "backtest", "--spec", spec, "--run-id", "r1")
    second = readiness(tc, "--run-id", "r1", block=readiness_block(), **SECRETS)
    plain = tc("connectivity", "readiness", "--spec", spec, "--run-id", "r1", **SECRETS)
    tc.ok("run", "verify", "r1")
    assert (first.code, second.code, plain.code) == (1, 0, 0)
    payloads = [event["payload"] for event in tc.events("r1") if event["event"] == "connectivity_readiness_evaluated"]
    assert [event["state"] for event in payloads] == ["missing_credentials", "configured", "configured"]
    artifact = json.loads((tc.run_folder("r1") / "connectivity_readiness.json").read_text())
    assert artifact["required_env"] == {"MY_KEY": "set", "MY_SECRET": "set"}
    shown = tc.json("run", "show", "r1")
    assert shown["connectivity_readiness"]["state"] == "configured"
    assert "configured" in (tc.run_folder("r1") / "report.md").read_text()
    assert not files_with(tc.home, *SECRETS.values())
    for answer in (second, plain):
        assert not [text for text in SECRETS.values() if text in answer.out + answer.err]


def test_the_length_of_a_value_is_not_visible(bare_tc: Tc) -> None:
    documents = []
    for value in ("x", "y" * 5000):
        document = readiness(bare_tc, block=readiness_block(), MY_KEY=value, MY_SECRET=value).document
        del document["evaluated_at"]
        documents.append(document)
    assert documents[0] == documents[1]


def test_the_block_does_not_change_the_digest_of_a_run(tc: Tc) -> None:
    plain = tc.json("run", "init", "--spec", tc.spec(), "--run-id", "a")
    with_block = tc.json("run", "init", "--spec", tc.spec(connectivity_readiness=readiness_block()), "--run-id", "b")
    assert plain["input_digest"] == with_block["input_digest"]


def test_a_crash_log_has_no_value(bare_tc: Tc, tmp_path: Path) -> None:
    answer = readiness(bare_tc, block=readiness_block(), **SECRETS, **at_start(tmp_path / "start", BUG))
    assert answer.code == 70
    (log,) = (bare_tc.home / "runtime" / "logs").iterdir()
    assert "a bug near the value" in log.read_text()
    assert not files_with(bare_tc.home, *SECRETS.values())
    assert not [text for text in SECRETS.values() if text in answer.out + answer.err]


def test_it_opens_no_socket_and_resolves_no_name(tc: Tc, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    closed: dict[str, Any] = {**at_start(tmp_path / "start", WITNESS), "WITNESS_FILE": str(seen)}
    tc.ok("run", "init", "--spec", tc.spec(connectivity_readiness=readiness_block()), "--run-id", "r1")
    for words in ((), ("--run-id", "r1")):
        assert readiness(tc, *words, block=readiness_block(), **SECRETS, **closed).code == 0
    assert not seen.exists()
    with ScriptedServer(ServerConnection.wait) as server:  # the witness does notice a connection
        probe = ("connectivity", "probe", "--spec", tc.spec(), "--url", server.url())
        assert tc(*probe, **closed).code == 1
    assert "socket.__new__" in seen.read_text()
