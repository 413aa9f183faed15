"""`tc data`: candles to run on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli.options import Dataset, Home, Json
from opslab.cli.output import note, result, result_fields, result_json, result_table
from opslab.model.ids import DatasetId

if TYPE_CHECKING:
    from opslab.datasets.prepare import Prepared

app = typer.Typer(help="Prepare candles to run on.", no_args_is_help=True)

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Candle files: .csv, .csv.gz or .zip.", show_default=False)
]


@app.command()
def prepare(dataset: Dataset, home: Home = None, as_json: Json = False) -> None:
    """Make a shipped dataset: btcusdt-sample, a synthetic week of one-minute candles."""
    from opslab.lab import open_lab

    _show(open_lab(home).prepare(DatasetId(dataset)), as_json)


@app.command("import")
def import_(paths: Paths, dataset: Dataset, home: Home = None, as_json: Json = False) -> None:
    """Import candle files: Binance's public ones, or six columns. Candles with errors are refused."""
    from opslab.cli.progress import ProgressBar
    from opslab.lab import open_lab

    with ProgressBar(f"importing {dataset}", "candles") as progress:
        prepared = open_lab(home).import_candles(DatasetId(dataset), paths, progress.add)
    _show(prepared, as_json)


@app.command()
def fingerprint(dataset: Dataset, home: Home = None, as_json: Json = False) -> None:
    """Compute a dataset's content digest from its candles, and hold it against the recorded one."""
    from opslab.cli.progress import ProgressBar
    from opslab.errors import DataChanged
    from opslab.lab import open_lab

    lab = open_lab(home)
    total = lab.dataset(DatasetId(dataset)).rows
    with ProgressBar(f"reading {dataset}", "candles", total) as progress:
        check = lab.check_fingerprint(DatasetId(dataset), progress.add)
    if not check.same:
        raise DataChanged(
            f"dataset {dataset} now has fingerprint {check.fingerprint}, it was recorded with {check.recorded}",
            hint="remove the dataset's folder and make it again",
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
            table.append((name, "unreadable", "", "", "", record.message))
        else:
            span = (record.first_open, record.last_open)
            table.append((name, record.kind, f"{record.rows:,}", *span, record.fingerprint[:19]))
    result_table(("DATASET", "KIND", "CANDLES", "FIRST OPEN", "LAST OPEN", "FINGERPRINT"), table, right=(2,))


def _show(prepared: "Prepared", as_json: bool) -> None:
    record = prepared.record
    if as_json:
        result_json({**record.model_dump(mode="json"), "fresh": prepared.fresh})
        return
    if not prepared.fresh:
        note(f"dataset {record.name} is prepared already, and whole")
    result_fields(
        [
            ("dataset", record.name),
            ("kind", f"{record.kind} ({record.description})"),
            ("candles", f"{record.rows:,}"),
            ("first open", record.first_open),
            ("last open", record.last_open),
            ("fingerprint", record.fingerprint),
            ("folder", f"data/datasets/{record.name}"),
        ]
    )
