"""What is kept of venues that were served alone: `runtime/venues/<name>/`."""

from pathlib import Path

from pydantic import ValidationError

from opslab.errors import Corrupt, Environment
from opslab.model.venue import VenueRecord
from opslab.store.files import make_folder, write_json, write_whole, writing

RECORD = "venue.json"
TOKEN = "control.token"


def read_venue(folder: Path) -> VenueRecord | None:
    """None when there is none. Raises Corrupt."""
    try:
        return VenueRecord.model_validate_json((folder / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Corrupt(f"venue {folder.name}: {RECORD} cannot be read: {error.strerror}", file=RECORD) from None
    except ValidationError:
        raise Corrupt(f"venue {folder.name}: {RECORD} is not what was written", file=RECORD) from None


def write_token(folder: Path, token: str) -> None:
    """Of the control door of this start. The folder is its owner's alone."""
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
