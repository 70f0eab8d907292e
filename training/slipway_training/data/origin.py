"""Where the text of a source comes from and what may be done with it; carried unchanged from the mixture to the model card.

It knows names and digests only. It refuses to judge a licence.
"""

from pydantic import BaseModel, ConfigDict

UNKNOWN = "unknown"


class Origin(BaseModel):
    """One source's provenance. `sha256` is over the raw bytes that were read, before any cleaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = ""
    licence: str = UNKNOWN
    attribution: str = ""
    domain: str = ""
    files: int = 0
    bytes_read: int = 0
    sha256: str = ""
