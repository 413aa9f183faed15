"""Every family that the exporter has, by the part of the lab that it belongs to; and those of the exporter itself."""

from opslab.connectivity import metrics as connectivity
from opslab.drills import metrics as drills
from opslab.killswitch import metrics as killswitch
from opslab.metrics.family import Family
from opslab.reconciliation import metrics as reconciliation
from opslab.runs.paper.metrics import counters, live
from opslab.runs.record.metrics import home, run
from opslab.runs.safety import metrics as halts

EXPORTER_INFO = Family("opslab_exporter_info", "info", "Version of the lab; always 1.", ("version",))
READY = Family(
    "opslab_exporter_ready",
    "gauge",
    "1: the last collection could read the home. 0: it could not, or the first one goes on; then no run has series.",
)
COLLECTIONS = Family("opslab_exporter_collections_total", "counter", "Collections since the exporter started.")
COLLECTION_SECONDS = Family("opslab_exporter_collection_seconds", "gauge", "Duration of the last collection.")
COLLECTED_AT = Family(
    "opslab_exporter_last_collection_timestamp_seconds", "gauge", "When the last collection was made."
)
ERRORS = Family(
    "opslab_exporter_errors_total",
    "counter",
    "Errors of the exporter by reason: the registry or a run could not be read, the counters of ends could not be "
    "stored, a collection broke off.",
    ("reason",),
)
RUNS_READ = Family("opslab_exporter_runs_read_total", "counter", "Runs that were read again because they had changed.")
FREE = Family("opslab_home_free_bytes", "gauge", "Free space on the file system of the home.")
SIZE = Family("opslab_home_size_bytes", "gauge", "Size of the file system of the home.")

EXPORTER = (EXPORTER_INFO, READY, COLLECTIONS, COLLECTION_SECONDS, COLLECTED_AT, ERRORS, RUNS_READ, FREE, SIZE)

GROUPS: dict[str, tuple[Family, ...]] = {
    "All runs": home.FAMILIES,
    "Each run": run.FAMILIES,
    "Paper runs": counters.FAMILIES,
    "Living nodes of paper runs": live.FAMILIES,
    "Reconciliation": reconciliation.FAMILIES,
    "Kill switch": killswitch.FAMILIES,
    "Halts": halts.FAMILIES,
    "Connectivity": connectivity.FAMILIES,
    "Failure drills": drills.FAMILIES,
    "Exporter": EXPORTER,
}
"""Title to families."""

FAMILIES: tuple[Family, ...] = tuple(family for group in GROUPS.values() for family in group)
