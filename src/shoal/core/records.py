"""What is a record? Something small that a whole network keeps under a name."""

from msgspec import Struct


class Record(Struct, frozen=True, gc=False):
    """What stands under a name. Of two versions the higher one is the later."""

    kind: str
    id: str
    version: int
    body: bytes
    removed: bool = False  # Only who watches hears of these.
