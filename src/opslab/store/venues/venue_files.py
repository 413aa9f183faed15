"""Files of venues: `runtime/venues/<name>/`; of a run's venue, after its end, in the run's folder."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from opslab.errors import Corrupt, Environment
from opslab.model.messages.venue_messages import VenueRecord
from opslab.store.files import make_folder, staged_folder, write_json, write_lines, write_whole, writing
from opslab.store.venues.ledger import NAME as LEDGER
from opslab.store.venues.venue_log import NAME as EVENTS
from opslab.store.venues.venue_log import PREVIOUS

RECORD = "venue.json"
TOKEN = "control.token"
VENUE_FOLDER = "venue"
"""Folder of a run with its venue's ledger."""
VENUE_LOG_NAME = "logs/venue-events.jsonl"
_CHUNK_BYTES = 1 << 20


def read_venue(folder: Path) -> VenueRecord | None:
    """The record of a venue; None when it does not exist. Raises Corrupt."""
    try:
        return VenueRecord.model_validate_json((folder / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Corrupt(f"venue {folder.name}: {RECORD} cannot be read: {error.strerror}", file=RECORD) from None
    except ValidationError:
        raise Corrupt(f"venue {folder.name}: {RECORD} has invalid content", file=RECORD) from None


def write_token(folder: Path, token: str) -> None:
    """Write the control socket's token of this start. The folder is private to its user."""
    with writing(f"write the token of venue {folder.name}"):
        folder.chmod(0o700)
        write_whole(folder / TOKEN, token.encode())
        (folder / TOKEN).chmod(0o600)


def read_token(folder: Path) -> str:
    """Raises Environment."""
    try:
        return (folder / TOKEN).read_text()
    except OSError as error:
        raise Environment(f"venue {folder.name}: {TOKEN} cannot be read: {error.strerror}") from None


def write_venue(folder: Path, record: VenueRecord) -> None:
    with writing(f"write the record of venue {folder.name}"):
        make_folder(folder)
        folder.chmod(0o700)
        write_json(folder / RECORD, record.model_dump(mode="json"))


def new_venue(folder: Path, record: VenueRecord, token: str) -> None:
    """Create the folder of a venue, atomically. Raises AlreadyExists."""
    with staged_folder(folder, f"venue {folder.name}") as staging:
        write_venue(staging, record)
        write_token(staging, token)


def copy_ledger(folder: Path, run_folder: Path) -> None:
    """Copy the ledger, byte for byte, into the run's folder; does nothing when the venue has none."""
    if not (folder / LEDGER).is_file():
        return
    with writing(f"copy the ledger of venue {folder.name}"), open(folder / LEDGER, "rb") as stream:
        make_folder(run_folder / VENUE_FOLDER)
        write_lines(run_folder / VENUE_FOLDER / LEDGER, iter(lambda: stream.read(_CHUNK_BYTES), b""))


def copy_event_log(folder: Path, run_folder: Path, redact: Callable[[str], str]) -> None:
    """Copy the event log, its older file first, redacted, into the run's logs; does nothing when there is none."""
    with writing(f"copy the event log of venue {folder.name}"):
        target = run_folder / VENUE_LOG_NAME
        make_folder(target.parent)
        if any((folder / name).is_file() for name in (PREVIOUS, EVENTS)):
            write_lines(target, (redact(line.decode(errors="replace")).encode() for line in _event_lines(folder)))


def _event_lines(folder: Path) -> Iterator[bytes]:
    for name in (PREVIOUS, EVENTS):
        with suppress(FileNotFoundError), open(folder / name, "rb") as stream:
            yield from stream
