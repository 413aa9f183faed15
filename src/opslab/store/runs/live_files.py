"""Live values of running runs: written whole, read by anybody, worth nothing after the run."""

from contextlib import suppress

from pydantic import ValidationError

from opslab.model.primitives.ids import RunId
from opslab.model.run.live_status import LiveStatus
from opslab.store.files import make_folder, write_whole
from opslab.store.layout import Layout


def write_live(layout: Layout, live: LiveStatus) -> None:
    """Quietly does nothing where it cannot be written: no run ends because nobody can watch it."""
    path = layout.live(RunId(live.run_id))
    with suppress(OSError):
        make_folder(path.parent)
        write_whole(path, live.model_dump_json().encode(), durable=False)


def read_live(layout: Layout, run_id: RunId) -> LiveStatus | None:
    """None when there are none, or none that can be read."""
    try:
        return LiveStatus.model_validate_json(layout.live(run_id).read_bytes())
    except (OSError, ValidationError):
        return None


def remove_live(layout: Layout, run_id: RunId) -> None:
    with suppress(OSError):
        layout.live(run_id).unlink()
