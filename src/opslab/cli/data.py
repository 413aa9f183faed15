"""`tc data`: prepare, import, check and list candle datasets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli.options import Dataset, Home, Json
from opslab.cli.output import note, result, result_fields, result_json, result_table
from opslab.cli.plain_command import PlainGroup
from opslab.model.primitives.ids import DatasetId, shown

if TYPE_CHECKING:
    from opslab.datasets.check import QualityReport
    from opslab.datasets.prepare import PreparedDataset
    from opslab.datasets.sources.source import SourceOptions

app = typer.Typer(cls=PlainGroup, help="Prepare, import and check candles.", no_args_is_help=True)

Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="OURS=THEIRS", help="Name of a column in the files, such as open_time=date. Repeatable."
    ),
]
Timestamp = Annotated[str, typer.Option("--timestamp", metavar="open|close", help="Meaning of a candle's timestamp.")]
Allow = Annotated[
    list[str] | None, typer.Option("--allow", metavar="RULE", help="Accept candles that violate this rule. Repeatable.")
]
Sort = Annotated[bool, typer.Option("--sort", help="Sort by time first; holds all candles in memory.")]
Drop = Annotated[bool, typer.Option("--drop-identical-duplicates", help="Drop candles that repeat the previous one.")]
Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Candle files, or folders of them.", show_default=False)
]


OptionalPaths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PATH...", help="Candle files, or folders of them.", show_default=False),
]
OptionalDataset = Annotated[str | None, typer.Option("--dataset", metavar="NAME", help="Name of a prepared dataset.")]


@app.command()
def prepare(dataset: Dataset, home: Home = None, as_json: Json = False) -> None:
    """Prepare a shipped dataset.

    btcusdt-sample: a synthetic week of one-minute candles.
    """
    from opslab.lab import open_lab

    _show(open_lab(home).prepare(DatasetId(dataset)), as_json)


@app.command("import")
def import_(
    paths: Paths,
    dataset: Dataset,
    column: Column = None,
    timestamp: Timestamp = "open",
    allow: Allow = None,
    sort: Sort = False,
    drop: Drop = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Import candle files as a dataset.

    Formats: CSV (plain, .gz, .zip), Parquet, Feather. Candles with errors are refused.
    """
    from opslab.cli.progress import ProgressBar
    from opslab.datasets.prepare import ImportOptions, allowed_rules
    from opslab.lab import open_lab

    name = DatasetId(dataset)
    options = ImportOptions(_source_options(column, timestamp), allowed_rules(allow or []), sort, drop)
    with ProgressBar(f"importing {name}", "candles") as progress:
        prepared = open_lab(home).import_candles(name, paths, progress.add, options)
    _show(prepared, as_json)


@app.command()
def check(
    paths: OptionalPaths = None,
    dataset: OptionalDataset = None,
    column: Column = None,
    timestamp: Timestamp = "open",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Check candles against the quality rules.

    Candle files, or a prepared dataset. Exit code 1 if there are errors.
    """
    from opslab.cli.progress import ProgressBar
    from opslab.errors import Usage
    from opslab.lab import open_lab

    if bool(paths) == (dataset is not None):
        raise Usage("give files or folders, or --dataset NAME", hint="tc data check --help")
    lab = open_lab(home)
    with ProgressBar("checking", "candles") as progress:
        if dataset is not None:
            report = lab.check_dataset(DatasetId(dataset), progress.add)
        else:
            report = lab.check_files(paths or [], _source_options(column, timestamp), progress.add)
    if as_json:
        result_json(report.as_dict())
    else:
        _show_report(report)
    raise typer.Exit(0 if report.valid else 1)


@app.command()
def fingerprint(dataset: Dataset, home: Home = None, as_json: Json = False) -> None:
    """Compute and verify a dataset's fingerprint.

    The fingerprint is a content digest, computed from the stored candles and compared with the recorded one.
    """
    from opslab.cli.progress import ProgressBar
    from opslab.errors import DataChanged
    from opslab.lab import open_lab

    lab = open_lab(home)
    total = lab.dataset(DatasetId(dataset)).rows
    with ProgressBar(f"reading {dataset}", "candles", total) as progress:
        check = lab.check_fingerprint(DatasetId(dataset), progress.add)
    if not check.matches:
        raise DataChanged(
            f"dataset {dataset} has fingerprint {check.fingerprint}, recorded was {check.recorded}",
            hint="remove the dataset's folder, then prepare or import it again",
        )
    if as_json:
        result_json(
            {"dataset": check.dataset, "fingerprint": check.fingerprint, "recorded": check.recorded, "same": True}
        )
    else:
        result(check.fingerprint)


@app.command("list")
def list_(home: Home = None, as_json: Json = False) -> None:
    """List the prepared datasets."""
    from opslab.errors import LabError
    from opslab.lab import open_lab

    lab = open_lab(home)
    rows = lab.datasets()
    if as_json:
        documents: list[Any] = [
            {"name": name, "error": record.message} if isinstance(record, LabError) else record.model_dump(mode="json")
            for name, record in rows
        ]
        result_json({"datasets": documents})
        return
    if not rows:
        note(f"no datasets in {lab.layout.home}")
        note("hint: tc data prepare --dataset btcusdt-sample")
        return
    table = []
    for name, record in rows:
        if isinstance(record, LabError):
            table.append((name, "unreadable", "", "", "", "", "", record.message))
        else:
            span = (record.first_open, record.last_open)
            gaps = f"{record.findings.get('gap', 0):,}"
            others = f"{sum(count for rule, count in record.findings.items() if rule != 'gap'):,}"
            table.append((name, record.kind, f"{record.rows:,}", *span, gaps, others, record.fingerprint[:19]))
    headings = ("DATASET", "KIND", "CANDLES", "FIRST OPEN", "LAST OPEN", "GAPS", "OTHER FINDINGS", "FINGERPRINT")
    result_table(headings, table, right=(2, 5, 6))


def _source_options(columns: list[str] | None, timestamp: str) -> "SourceOptions":
    from opslab.datasets.candles import CANDLES
    from opslab.datasets.sources.source import CLOSE_TIME, SourceOptions
    from opslab.errors import Usage

    if timestamp not in ("open", "close"):
        raise Usage(f"--timestamp must be open or close, got {shown(timestamp, 40)}")
    known = [*CANDLES.names, CLOSE_TIME]
    mapping: dict[str, str] = {}
    for text in columns or []:
        ours, equals, theirs = text.partition("=")
        if ours not in known or not equals or not theirs or ours in mapping:
            raise Usage(f"--column {shown(text, 60)} is not OURS=THEIRS", hint=f"ours, each once: {', '.join(known)}")
        mapping[ours] = theirs
    return SourceOptions(mapping, "close" if timestamp == "close" else "open")


def _dropped(count: int) -> str | None:
    return f"{count:,} identical duplicates, as requested" if count else None


def _show_report(report: "QualityReport") -> None:
    from opslab.datasets.quality.rules import RULES

    for finding in report.findings.in_file_order():
        result(f"{finding.severity:7}  {finding.text()}")
    if report.findings.listed:
        result("")
    rows = [(rule, RULES[rule].severity, f"{count:,}") for rule, count in sorted(report.findings.counts.items())]
    if rows:
        result_table(("RULE", "SEVERITY", "COUNT"), rows, right=(2,))
        result("")
    span = f", {report.first_open} to {report.last_open}" if report.rows else ""
    verdict = "no errors" if report.valid else "errors"
    result(f"{report.rows:,} candles{span}: {verdict}")


def _show(prepared: "PreparedDataset", as_json: bool) -> None:
    from opslab.datasets.quality.findings import summary

    record = prepared.record
    if as_json:
        result_json({**record.model_dump(mode="json"), "created": prepared.created})
        return
    if not prepared.created:
        note(f"dataset {record.name} exists and is unchanged")
    result_fields(
        [
            ("dataset", record.name),
            ("kind", f"{record.kind} ({record.description})"),
            ("candles", f"{record.rows:,}"),
            ("first open", record.first_open),
            ("last open", record.last_open),
            ("findings", summary(record.findings) or "none"),
            ("allowed", ", ".join(record.allowed) or None),
            ("sorted", "yes, as requested" if record.repairs.sorted else None),
            ("dropped", _dropped(record.repairs.dropped_identical)),
            ("fingerprint", record.fingerprint),
            ("folder", f"data/datasets/{record.name}"),
        ]
    )
