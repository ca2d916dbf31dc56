"""What somebody wants to see of all records, and the address of seeing it.

Everything that the page can show has an address of its own, so that it can be kept,
sent to others and come back to, with a script or without.
"""

from urllib.parse import parse_qsl, urlencode

from msgspec import Struct
from msgspec.structs import replace

from shoal.catalog.messages import MAX_TYPE
from shoal.catalog.page.columns import PLACES

# What fits into a box, and what a person looks for.
MAX_TEXT = 200

# Of a question; the page itself asks for four.
MAX_WORDS = 32

_MOST_PAGES = 10**6


class View(Struct, frozen=True):
    """Which records, in which order, from where on."""

    sort: str = "name"
    down: bool = False  # The largest first.
    type: str = ""  # Any, unless it is named.
    filter: str = ""
    page: int = 1

    def order(self) -> str:
        """How the order is written."""
        return f"-{self.sort}" if self.down else self.sort


def read(query: str) -> View:
    """What an address asks for; what cannot be understood asks for nothing."""
    try:
        asked = dict(parse_qsl(query, errors="replace", max_num_fields=MAX_WORDS))
    except ValueError:
        return View()
    sort = asked.get("sort", "")
    number = asked.get("page", "")
    known = sort.removeprefix("-") in PLACES
    legible = number.isascii() and number.isdigit() and len(number) <= 6
    return View(
        sort=sort.removeprefix("-") if known else "name",
        down=known and sort.startswith("-"),
        type=asked.get("type", "")[:MAX_TYPE],
        filter=asked.get("filter", "").strip()[:MAX_TEXT],
        page=min(max(1, int(number)), _MOST_PAGES) if legible else 1,
    )


def address(view: View, **changes: object) -> str:
    """Where another view is found, after the path."""
    wanted: View = replace(view, **changes)
    told = {
        "sort": "" if wanted.order() == "name" else wanted.order(),
        "type": wanted.type,
        "filter": wanted.filter,
        "page": "" if wanted.page == 1 else str(wanted.page),
    }
    query = urlencode({name: text for name, text in told.items() if text})
    return f"?{query}" if query else ""
