"""Status files of running runs, replaced atomically; removed at the end of a run."""

from contextlib import suppress

from pydantic import ValidationError

from opslab.model.primitives.ids import RunId
from opslab.model.run.live_status import LiveStatus
from opslab.store.files import make_folder, write_whole
from opslab.store.layout import Layout


def write_live(layout: Layout, status: LiveStatus) -> None:
    """Ignores write errors: a missing status file must not end a run."""
    path = layout.live(RunId(status.run_id))
    with suppress(OSError):
        make_folder(path.parent)
        write_whole(path, status.model_dump_json().encode(), durable=False)


def read_live(layout: Layout, run_id: RunId) -> LiveStatus | None:
    """None when there is no readable status file."""
    try:
        return LiveStatus.model_validate_json(layout.live(run_id).read_bytes())
    except (OSError, ValidationError):
        return None


def remove_live(layout: Layout, run_id: RunId) -> None:
    with suppress(OSError):
        layout.live(run_id).unlink()
