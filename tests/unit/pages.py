"""The catalog's page as a test wants it: at once, of a few records."""

from collections.abc import Sequence

from shoal.catalog.answers import Answer
from shoal.catalog.messages import Entry
from shoal.catalog.page.frame import Moment
from shoal.catalog.page.listing import listing
from shoal.catalog.page.view import read

NOW = 1_700_000_000


def page_of(
    entries: Sequence[Entry],
    query: str = "",
    *,
    now: int = NOW,
    base: str = "",
    date: str = "",
) -> Answer:
    """All steps of making it."""
    moment = Moment(now=now, tag="t", base=base, date=date)
    steps = listing(read(query), entries, moment)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
