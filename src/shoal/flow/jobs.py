"""The jobs this peer has heard of: a few words of each, the rest where it is kept."""

import logging
import re
from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import TypeVar

import msgspec
from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import MalformedMessage, NotFound
from shoal.flow.messages import ID_PATTERN, JobRecord
from shoal.flow.records import Record, Records

log = logging.getLogger(__name__)

KIND = "job"
ENDED = ("done", "failed")

# So many are listed at once, the latest first.
LISTED = 1000

# Where a name may stand too, a shorter beginning is more probably a misspelt name: with
# a thousand datasets three letters begin an id by chance, seven hardly ever.
LEAST_OF_AN_ID = 7

_Kind = TypeVar("_Kind")
_decoder = msgspec.msgpack.Decoder(JobRecord)
_ID = re.compile(ID_PATTERN)


class _Head(Struct, frozen=True):
    """What is asked of many jobs at once."""

    submitted: float
    tags: tuple[str, ...]


class Jobs:
    """Jobs by id."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._heads: dict[str, _Head] = {}
        self._open: dict[str, JobRecord] = {}  # Those that have not ended.
        self._stop = records.watch(KIND, self.hear)

    def start(self) -> None:
        """Take up what was kept."""
        for record in self._records.list(KIND):
            self.hear(record)

    def hear(self, record: Record) -> None:
        """A job was created, has changed, or is kept no more."""
        job = None
        if not record.removed:
            job = next(readable([record], _decoder), None)
        if job is None:
            self._heads.pop(record.id, None)
            self._open.pop(record.id, None)
            return
        self._heads[job.id] = _Head(job.submitted, job.tags)
        if job.state in ENDED:
            self._open.pop(job.id, None)
        else:
            self._open[job.id] = job

    def open(self, driver: PeerId | None = None) -> list[JobRecord]:
        """Those that have not ended; of them those that a peer drives."""
        every = self._open.values()
        return [job for job in every if driver is None or job.driver == driver]

    def latest(self, tag: str = "", limit: int = LISTED) -> list[JobRecord]:
        """Those with a tag, or all, the latest first."""
        heads = self._heads.items()
        found = [(h.submitted, name) for name, h in heads if not tag or tag in h.tags]
        names = [name for _, name in nlargest(limit, found)]
        kept = (self._records.peek(KIND, name) for name in names)
        return list(readable((each for each in kept if each), _decoder))

    async def read(self, name: str) -> tuple[JobRecord, int]:
        """A job as it is kept, and which version; its id may be cut short."""
        record = await self._records.read(KIND, name) if is_id(name) else None
        if record is None:
            record = await self._records.read(KIND, whole_id(self._heads, name, KIND))
        if record is None:
            raise NotFound(f"job {name}: it is kept no more")
        return decoded(_decoder, record.body), record.version

    def known(self, name: str) -> JobRecord | None:
        """A job as this peer has heard of it."""
        try:
            found = whole_id(self._heads, name, KIND, least=LEAST_OF_AN_ID)
        except NotFound:
            return None
        record = self._records.peek(KIND, found)
        return next(readable([record] if record else [], _decoder), None)


def readable(
    records: Iterable[Record], decoder: msgspec.msgpack.Decoder[_Kind]
) -> Iterator[_Kind]:
    """What this version can read: others may be newer."""
    for each in records:
        try:
            yield decoded(decoder, each.body)
        except MalformedMessage as error:
            log.warning("%s %s cannot be read: %s", each.kind, each.id, error)


def is_id(name: str) -> bool:
    """Can it be the id of anything?"""
    return bool(_ID.match(name))


def whole_id(known: Iterable[str], prefix: str, what: str, *, least: int = 1) -> str:
    """The one id that begins so, with so many letters at least, or `NotFound`."""
    names = known if isinstance(known, dict) else list(known)
    if prefix in names:
        return prefix
    enough = len(prefix) >= least
    found = [each for each in names if enough and each.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFound(f"{what} {prefix}: {len(found)} begin so; give more of the id")
    raise NotFound(f"{what} {prefix}: there is none; list them with: shoal {what}s")
