"""Base class of every record that crosses a file or a socket."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen and strict; refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
