"""Folders and files of the home. Only validated ids become parts of a path."""

from dataclasses import dataclass
from pathlib import Path

from opslab.model.primitives.ids import DatasetId, RunId, VenueId


@dataclass(frozen=True, slots=True)
class Layout:
    home: Path

    @property
    def datasets(self) -> Path:
        return self.home / "data" / "datasets"

    @property
    def fingerprints(self) -> Path:
        return self.home / "data" / "fingerprints"

    @property
    def runs(self) -> Path:
        return self.home / "artifacts" / "runs"

    @property
    def runtime(self) -> Path:
        return self.home / "runtime"

    @property
    def logs(self) -> Path:
        return self.runtime / "logs"

    def dataset(self, dataset: DatasetId) -> Path:
        return self.datasets / dataset

    def fingerprint(self, dataset: DatasetId) -> Path:
        return self.fingerprints / f"{dataset}.json"

    def run(self, run_id: RunId) -> Path:
        return self.runs / run_id

    @property
    def work_root(self) -> Path:
        return self.runtime / "work"

    def work(self, run_id: RunId) -> Path:
        """Scratch folder of a running engine; removed at its end."""
        return self.work_root / run_id

    @property
    def venues(self) -> Path:
        return self.runtime / "venues"

    def venue(self, venue: VenueId) -> Path:
        """Folder of a venue, with its ledger."""
        return self.venues / venue

    def live(self, run_id: RunId) -> Path:
        return self.runtime / "live" / f"{run_id}.json"
