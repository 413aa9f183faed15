"""`tc connectivity`: check environment variables, probe a loopback URL."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli.options import Home, Json, Spec
from opslab.cli.output import note, result_fields, result_json
from opslab.cli.plain_command import PlainGroup

if TYPE_CHECKING:
    from opslab.lab.connectivity import CheckOutcome
    from opslab.model.checks.connectivity import ProbeResult, ReadinessResult

app = typer.Typer(cls=PlainGroup, help="Check readiness, probe a loopback URL.", no_args_is_help=True)

RunIdOption = Annotated[
    str | None, typer.Option("--run-id", metavar="ID", help="Run to record the result in [default: the spec's]")
]

READINESS_CODES = {"configured": 0, "disabled": 0, "missing_credentials": 1, "invalid_config": 1, "unknown": 3}
PROBE_CODES = {"probe_ok": 0, "probe_http_error": 1, "probe_timeout": 1, "probe_unreachable": 1, "probe_unknown": 3}


@app.command()
def readiness(spec: Spec, run_id: RunIdOption = None, home: Home = None, as_json: Json = False) -> None:
    """Check the environment variables of a spec.

    Reports for each named variable whether it is set. No network; no value is recorded or shown.
    """
    from opslab.lab import connectivity
    from opslab.lab.context import open_context

    checked = connectivity.readiness(open_context(home), spec, run_id)
    result = checked.result
    if as_json:
        result_json(_document(checked))
    else:
        _show_readiness(result)
    _note_record(checked)
    if result.state not in ("disabled", "configured") and checked.notes:
        from opslab.model.primitives.secret_shapes import echo

        note(f"notes: {echo(' '.join(checked.notes.split()))}")
    raise typer.Exit(READINESS_CODES[result.state])


@app.command()
def probe(
    spec: Spec,
    url: Annotated[str, typer.Option("--url", metavar="URL", help="Loopback URL, such as http://127.0.0.1:8080/path.")],
    run_id: RunIdOption = None,
    timeout_ms: Annotated[
        int,
        typer.Option(
            "--timeout-ms", metavar="N", min=1, max=60_000, help="Time limit of the whole probe, in milliseconds."
        ),
    ] = 2_000,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Send one GET to a URL of this machine.

    Reports whether it responds, and how fast. The content of the response is not recorded.
    """
    from opslab.lab import connectivity
    from opslab.lab.context import open_context

    checked = connectivity.probe(open_context(home), spec, url, timeout_ms, run_id)
    if as_json:
        result_json(_document(checked))
    else:
        _show_probe(checked.result)
    _note_record(checked)
    raise typer.Exit(PROBE_CODES[checked.result.state])


def _document(checked: "CheckOutcome[ReadinessResult] | CheckOutcome[ProbeResult]") -> dict[str, Any]:
    recorded = checked.recorded
    return {
        **checked.result.model_dump(mode="json"),
        "run_id": checked.run.run_id,
        "artifact": recorded.artifact if recorded else None,
        "digest": recorded.digest if recorded else None,
        "seal": recorded.seal if recorded else None,
    }


def _note_record(checked: "CheckOutcome[ReadinessResult] | CheckOutcome[ProbeResult]") -> None:
    if checked.recorded:
        note(f"recorded in run {checked.run.run_id} as {checked.recorded.artifact}")
    else:
        note(f"not recorded: {checked.run.unresolved_reason}")


def _show_readiness(result: "ReadinessResult") -> None:
    optional = ((f"{name} (optional)", presence) for name, presence in result.optional_env.items())
    result_fields(
        [
            ("state", result.state),
            ("problems", ", ".join(result.problems) or None),
            ("target", result.target),
            ("venue", result.venue),
            *result.required_env.items(),
            *optional,
        ]
    )


def _show_probe(result: "ProbeResult") -> None:
    result_fields(
        [
            ("state", result.state),
            ("reason", result.reason),
            ("phase", result.phase),
            ("url", url_text(result)),
            ("address", result.address),
            ("status code", result.status_code),
            ("http version", result.http_version),
            ("headers", f"{result.header_count}, {result.head_bytes:,} bytes" if result.head_bytes else None),
            ("content", f"{result.body_bytes:,} bytes" if result.body_bytes is not None else None),
            ("resolve", _ms(result.resolve_ms)),
            ("connect", _ms(result.connect_ms)),
            ("first byte", _ms(result.first_byte_ms)),
            ("total", _ms(result.total_ms)),
            ("timeout", f"{result.timeout_ms:,} ms"),
        ]
    )


def url_text(result: "ProbeResult") -> str:
    """The URL without the content of its query."""
    host = f"[{result.host}]" if ":" in result.host else result.host
    return f"{result.scheme}://{host}:{result.port}{result.path}{'?...' if result.has_query else ''}"


def _ms(milliseconds: float | None) -> str | None:
    return None if milliseconds is None else f"{milliseconds:,.1f} ms"
