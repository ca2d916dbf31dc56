"""What a peer says of itself, so that genuine catalogs keep it and their readers live.

One letter beyond ASCII in a genuine catalog breaks every program that asks it for
everything. So what we send is ASCII, short, flat, and forges nothing.
"""

import json
from unicodedata import normalize

from shoal.catalog.messages import Fields

# A datagram that crosses any network, where updates go by UDP.
MAX_TEXT = 200

# So is a peer announced while it lives, as TaskVine's managers are, and once more when
# it leaves: the record then ends within a second.
INTERVAL_S = 60.0
LEAVING = {"lifetime": 1, "leaving": 1}

_OURS_ALONE = ("address", "lastheardfrom")


def announcement(fields: Fields, *, leaving: bool = False) -> bytes:
    """One update. Fields without a value are left out."""
    told = {
        name: _plain(value, blanks=name not in ("name", "uuid"))
        for name, value in fields.items()
        if name not in _OURS_ALONE and value is not None and value != ""
    }
    whole = {**told, **(LEAVING if leaving else {})}
    return json.dumps(whole, separators=(",", ":")).encode()


def _plain(value: object, *, blanks: bool) -> object:
    if not isinstance(value, str):
        return value
    letters = normalize("NFKD", value).encode("ascii", "ignore").decode()
    least = " " if blanks else "!"
    return "".join(e if least <= e <= "~" else "_" for e in letters)[:MAX_TEXT]
