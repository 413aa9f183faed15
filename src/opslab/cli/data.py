"""`tc data`: prepare, import, check and list candle datasets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli.options import Dataset, Home, Json
from opslab.cli.output import note, result, result_fields, result_json, result_table
from opslab.cli.plain_command import PlainGroup
from opslab.model.primitives.ids import DatasetId

if TYPE_CHECKING:
    from opslab.lab.data import PreparedDataset, QualityReport

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
Round = Annotated[bool, typer.Option("--round", help="Round prices to the tick, volumes to the lot.")]
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
    from opslab.lab import data
    from opslab.lab.context import open_context

    _show(data.prepare(open_context(home), DatasetId(dataset)), as_json)


@app.command("import")
def import_(
    paths: Paths,
    dataset: Dataset,
    column: Column = None,
    timestamp: Timestamp = "open",
    allow: Allow = None,
    sort: Sort = False,
    drop: Drop = False,
    rounds: Round = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Import candle files as a dataset.

    Formats: CSV (plain, .gz, .zip), Parquet, Feather. Candles with errors are refused.
    """
    from opslab.cli.progress import ProgressBar
    from opslab.lab.context import open_context
    from opslab.lab.data import import_candles, import_options, source_options

    name = DatasetId(dataset)
    options = import_options(source_options(column or [], timestamp), allow or [], sort, drop, rounds)
    with ProgressBar(f"importing {name}", "candles") as progress:
        prepared = import_candles(open_context(home), name, paths, options, progress.add)
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
    from opslab.lab.context import open_context
    from opslab.lab.data import check_dataset, check_files, source_options

    if bool(paths) == (dataset is not None):
        raise Usage("give files or folders, or --dataset NAME", hint="tc data check --help")
    context = open_context(home)
    with ProgressBar("checking", "candles") as progress:
        if dataset is not None:
            report = check_dataset(context, DatasetId(dataset), progress.add)
        else:
            report = check_files(paths or [], source_options(column or [], timestamp), progress.add)
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
    from opslab.lab.context import open_context
    from opslab.lab.data import check_fingerprint, read_record

    context, name = open_context(home), DatasetId(dataset)
    total = read_record(context.layout, name).rows
    with ProgressBar(f"reading {dataset}", "candles", total) as progress:
        check = check_fingerprint(context, name, progress.add)
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
    from opslab.lab.context import open_context
    from opslab.lab.data import list_datasets

    layout = open_context(home).layout
    rows = list_datasets(layout)
    if as_json:
        documents: list[Any] = [
            {"name": name, "error": record.message} if isinstance(record, LabError) else record.model_dump(mode="json")
            for name, record in rows
        ]
        result_json({"datasets": documents})
        return
    if not rows:
        note(f"no datasets in {layout.home}")
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


def _dropped(count: int) -> str | None:
    return f"{count:,} identical duplicates, as requested" if count else None


def _rounded(prices: int, volumes: int) -> str | None:
    parts = [f"{count:,} {name}" for count, name in ((prices, "prices"), (volumes, "volumes")) if count]
    return f"{' and '.join(parts)}, as requested" if parts else None


def _show_report(report: "QualityReport") -> None:
    from opslab.lab.data import RULES

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
    from opslab.lab.data import summary

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
            ("rounded", _rounded(record.repairs.rounded_prices, record.repairs.rounded_volumes)),
            ("market", record.market),
            ("fingerprint", record.fingerprint),
            ("folder", f"data/datasets/{record.name}"),
        ]
    )
