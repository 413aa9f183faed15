"""Records of datasets: metadata and fingerprints. Reads no candles, and so does not load pyarrow."""

from pathlib import Path

from pydantic import ValidationError

from opslab.errors import BadData, Corrupt, DataChanged, LabError, NotFound
from opslab.model.market.dataset import DatasetRecord, FingerprintRecord
from opslab.model.primitives.ids import DatasetId, nearest
from opslab.store.files import file_digest, folder_names, make_folder, write_json, writing
from opslab.store.layout import Layout

RECORD = "dataset.json"
NOT_PLAYABLE = frozenset({"not_enclosed", "non_positive_price", "duplicate_identical", "duplicate_disagreeing"})
"""Rules whose candles no venue sends: a client would fail on them."""


def dataset_names(layout: Layout) -> list[str]:
    """Names of all dataset folders, sorted."""
    return [name for name in folder_names(layout.datasets) if DatasetId.is_valid(name)]


def read_record(layout: Layout, dataset: DatasetId) -> DatasetRecord:
    """Raises NotFound with the nearest names, or Corrupt."""
    file = layout.dataset(dataset) / RECORD
    try:
        return DatasetRecord.model_validate_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        if layout.dataset(dataset).is_dir():
            raise Corrupt(f"dataset {dataset}: {RECORD} is missing") from None
        close = nearest(dataset, [*dataset_names(layout), "btcusdt-sample"])
        hint = "tc data prepare --dataset btcusdt-sample" if "btcusdt-sample" in close else "tc data list"
        guess = f" (did you mean {', '.join(close)}?)" if close and dataset not in close else ""
        raise NotFound(f"dataset {dataset} not found in {layout.home}{guess}", hint=hint) from None
    except OSError as error:
        raise Corrupt(f"dataset {dataset}: {RECORD} cannot be read: {error.strerror}") from None
    except ValidationError:
        raise Corrupt(f"dataset {dataset}: {RECORD} is invalid") from None


def check_playable(record: DatasetRecord) -> None:
    """Raises BadData for a dataset with candles that no venue could send."""
    unplayable = [rule for rule in record.allowed if rule in NOT_PLAYABLE and record.findings.get(rule)]
    if unplayable:
        raise BadData(
            f"dataset {record.name} has candles that no venue could send: {', '.join(sorted(unplayable))}",
            counts={rule: record.findings[rule] for rule in unplayable},
            hint="correct these candles, and import them without --allow",
        )


def write_record(folder: Path, record: DatasetRecord) -> None:
    write_json(folder / RECORD, record.model_dump(mode="json"))


def write_fingerprint(layout: Layout, record: DatasetRecord) -> None:
    """Write the fingerprint outside the dataset's folder as well."""
    fingerprint = FingerprintRecord(
        dataset=record.name, fingerprint=record.fingerprint, rows=record.rows, recorded_at=record.prepared_at
    )
    with writing("write the fingerprint record"):
        make_folder(layout.fingerprints)
        write_json(layout.fingerprint(DatasetId(record.name)), fingerprint.model_dump(mode="json"))


def verify_files(layout: Layout, record: DatasetRecord) -> None:
    """Compare the bytes of every data file with the record, and the record with the recorded fingerprint.

    Equal bytes mean equal candles, and digesting a file is much faster than decoding its candles. Raises DataChanged.
    """
    dataset = DatasetId(record.name)
    hint = f"tc data fingerprint --dataset {dataset} shows whether the candles changed"
    for file in record.files:
        path = layout.dataset(dataset) / file.path
        try:
            same = path.stat().st_size == file.size_bytes and file_digest(path) == file.digest
        except OSError as error:
            raise Corrupt(f"dataset {dataset}: {file.path} cannot be read: {error.strerror}") from None
        if not same:
            raise DataChanged(f"dataset {dataset}: {file.path} was changed after it was prepared", hint=hint)
    listed = {file.path for file in record.files}
    for path in sorted((layout.dataset(dataset) / "data").rglob("*.parquet")):
        if path.relative_to(layout.dataset(dataset)).as_posix() not in listed:
            raise DataChanged(f"dataset {dataset}: {path.name} was added after it was prepared", hint=hint)
    recorded = recorded_fingerprint(layout, dataset)
    if recorded is not None and recorded.fingerprint != record.fingerprint:
        raise DataChanged(f"dataset {dataset}: the fingerprint in its record differs from the recorded one", hint=hint)


def recorded_fingerprint(layout: Layout, dataset: DatasetId) -> FingerprintRecord | None:
    try:
        return FingerprintRecord.model_validate_json(layout.fingerprint(dataset).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise Corrupt(f"dataset {dataset}: its recorded fingerprint cannot be read") from None


def list_datasets(layout: Layout) -> list[tuple[str, DatasetRecord | LabError]]:
    """Every dataset with its record, or with the error of reading it."""
    rows: list[tuple[str, DatasetRecord | LabError]] = []
    for name in dataset_names(layout):
        try:
            rows.append((name, read_record(layout, DatasetId(name))))
        except LabError as error:
            rows.append((name, error))
    return rows
