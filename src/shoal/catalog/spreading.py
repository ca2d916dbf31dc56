"""The catalogs of one network know the same: each tells the others what it hears.

What is heard here is told all others within a quarter of a second: a new record whole,
one heard again in a line. That may be lost; so sums are compared every five seconds,
and what is lacking is asked for. Of a record the greatest `Line.rank` holds everywhere,
and it only grows, so that order, repetition and detours do not matter. What has ended
is remembered until no copy can be left, and outranks every copy of it.

How long a record lives is told as what is left of it, never as a time: a clock that is
fast or slow neither ends it early nor keeps it.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, islice

from msgspec import Struct

from shoal.catalog.messages import (
    ELEMENTS_ADDED,
    MAX_ELEMENTS,
    MAX_RECORDS,
    Change,
    Ended,
    Entry,
    entry_shared,
    remembered_s,
)
from shoal.catalog.outline import NOWHERE, Outline, is_shared, left_ms
from shoal.catalog.protocol import Catalog
from shoal.catalog.shared import (
    BATCH_BYTES,
    MAX_KEY,
    MAX_LINES,
    MAX_WANTED,
    PARCELS,
    Compare,
    Here,
    Line,
    Lines,
    Shared,
    SpreadMessage,
    Told,
    Want,
)
from shoal.catalog.updates import decode
from shoal.core.machine import Effects, PeerId, Send
from shoal.errors import MalformedMessage, Overloaded

log = logging.getLogger(__name__)

# An eighth of the two seconds that a record may take to everybody. What is heard again
# meanwhile is one batch.
SPREAD_S = 0.25

# So much at a time takes four milliseconds; a full catalog is told in three seconds.
MAX_SPREAD = 2000

# What was lost is made up for in this. With few catalogs each compares with each.
COMPARE_S = 5.0
COMPARED_WITH = 3

# A newcomer is greeted so often so soon, since a greeting may be lost; most peers are
# no catalogs and never answer, and are asked seldom.
GREETINGS, GREET_S, GREET_SELDOM_S = 3, 5.0, 15.0

# A step of a pull that takes longer has failed; it begins anew with the next sums.
PATIENCE_S = 2.0

# A clock in a wrong zone is so far off. What comes from further on would outrank all
# that is heard for years.
AHEAD_MS = 86_400_000

SpreadEffects = Effects[SpreadMessage, Change]


class Pull(Struct):
    """What we do not know yet of what another has."""

    number: int
    keys: dict[str, None]
    due: float


class Spreading:
    """One catalog's part in what all know."""

    def __init__(self, me: PeerId, catalog: Catalog, now: float) -> None:
        self.me = me
        self.catalog = catalog
        self.outline = Outline(catalog)
        catalog.shared = True
        catalog.changed = dict.fromkeys([*catalog.ended, *catalog.entries])
        self.others: dict[PeerId, None] = {}  # Who is a catalog too.
        self.refused = 0
        self._greeted: dict[PeerId, tuple[int, float]] = {}
        self._pulls: dict[PeerId, Pull] = {}
        self._numbers = count(1)
        self._spread_at = now
        self._compare_at = now + COMPARE_S
        self._turn = 0

    @property
    def deadline(self) -> float:
        """When there is something to tell, or sums to compare."""
        if self.catalog.fresh:
            return min(self._spread_at, self._compare_at)
        return self._compare_at

    def meet(self, present: Sequence[PeerId], now: float) -> SpreadEffects:
        """These peers are here: greet who is new, forget who is gone."""
        here = dict.fromkeys(present)
        self.others = {peer: None for peer in self.others if peer in here}
        for known in (self._greeted, self._pulls):
            for peer in [peer for peer in known if peer not in here]:
                del known[peer]
        effects: SpreadEffects = []
        for peer in here:
            if peer != self.me and peer not in self.others and self._greets(peer, now):
                effects.append(Send(peer, Here()))
        return effects

    def wake(self, now: float) -> SpreadEffects:
        """Tell what was heard, and compare what is known, each in its time."""
        effects: SpreadEffects = []
        # A clock that was set back would else silence us for as long.
        if not 0 < self._spread_at - now <= SPREAD_S:
            self._spread_at = now + SPREAD_S
            effects += self._spread(now)
        if not 0 < self._compare_at - now <= COMPARE_S:
            self._compare_at = now + COMPARE_S
            self._forget(now)
            compare = Compare(self.outline.sums())
            effects += [Send(peer, compare) for peer in self._next()]
        return effects

    def receive(
        self, sender: PeerId, message: SpreadMessage, now: float
    ) -> SpreadEffects:
        """React to another catalog."""
        self.others[sender] = None
        match message:
            case Here():
                return [Send(sender, Compare(self.outline.sums()))]
            case Compare(sums):
                return self._compared(sender, sums, now)
            case Lines():
                return self._listed(sender, message, now)
            case Want():
                return [Send(sender, self._give(message, now))]
            case Told():
                return self._told(sender, message, now)

    # Who is there

    def _greets(self, peer: PeerId, now: float) -> bool:
        """Is it time to greet a peer that may be a catalog?"""
        times, due = self._greeted.get(peer, (0, now))
        if 0 < due - now <= GREET_SELDOM_S:
            return False
        rest_s = GREET_S if times + 1 < GREETINGS else GREET_SELDOM_S
        self._greeted[peer] = times + 1, now + rest_s
        return True

    def _next(self) -> list[PeerId]:
        """With whom to compare this time: with all in turn."""
        others = list(self.others)
        if len(others) <= COMPARED_WITH:
            return others
        self._turn = (self._turn + COMPARED_WITH) % len(others)
        return (others * 2)[self._turn : self._turn + COMPARED_WITH]

    def _forget(self, now: float) -> None:
        """Who did not answer, and what ended so long ago that no copy is left."""
        self.catalog.forget(now)
        for peer in [peer for peer, pull in self._pulls.items() if pull.due <= now]:
            del self._pulls[peer]

    # What was heard here

    def _spread(self, now: float) -> SpreadEffects:
        fresh = self.catalog.fresh
        if not self.others:
            fresh.clear()
            return []
        again, new = list[Line](), list[Entry]()
        for key in list(islice(fresh, MAX_SPREAD)):
            changed, entry = fresh.pop(key), self.catalog.entries.get(key)
            if entry is None or not changed:
                again += self.outline.lines([key], now)
            elif is_shared(entry):
                new.append(entry)
        told: list[SpreadMessage] = []
        for batch in _batches(new):
            records = tuple(_shared(entry, now) for entry in batch)
            told.append(Told(0, 0, records))
        told += [Lines(portion) for portion in _portions(again)]
        return [Send(peer, message) for peer in self.others for message in told]

    # Sums, then lines, then what is lacking

    def _compared(
        self, sender: PeerId, sums: Sequence[int], now: float
    ) -> SpreadEffects:
        mine = self.outline.sums()
        differing = [n for n in range(PARCELS) if mine[n] != sums[n]]
        if not differing:
            return []
        effects: SpreadEffects = []
        while differing:
            parcels, keys = list[int](), list[str]()
            while differing and (not parcels or len(keys) < MAX_LINES):
                parcels.append(differing.pop())
                keys += self.outline.keys(parcels[-1])
            lines = tuple(self.outline.lines(keys, now))
            effects.append(Send(sender, Lines(lines, tuple(parcels))))
        return effects

    def _listed(self, sender: PeerId, message: Lines, now: float) -> SpreadEffects:
        """Learn what is newer there, and say what is newer here."""
        theirs = {line.key: line.rank for line in message.lines}
        keys = (self.outline.keys(parcel) for parcel in message.parcels)
        ours = [
            line
            for line in self.outline.lines(chain.from_iterable(keys), now)
            if line.rank > theirs.get(line.key, NOWHERE)
        ]
        lacking: dict[str, None] = {}
        effects: SpreadEffects = []
        for line in message.lines:
            if self.outline.rank(line.key) < line.rank and not self._is_ahead(
                line.stamp, now
            ):
                effects += self._learn(sender, line, lacking, now)
        effects += [Send(sender, Lines(portion)) for portion in _portions(ours)]
        return effects + self._pull(sender, lacking, now)

    def _learn(
        self, sender: PeerId, line: Line, lacking: dict[str, None], now: float
    ) -> SpreadEffects:
        catalog, left_s = self.catalog, line.left_ms / 1000
        entry = catalog.entries.get(line.key)
        if line.ended:
            if not line.left_ms:
                return []
            left_s = min(left_s, remembered_s(catalog.lifetime_s))
            ended = Ended(line.stamp, line.mark, now + left_s)
            return [*catalog.end(line.key, ended, now)]
        if entry and entry.mark == line.mark:
            entry.away_s = line.away_ms / 1000
            return [*catalog.hear_of(entry, line.stamp, left_s, now)]
        if entry is None and self._has_outlived(line, now):
            until = now + remembered_s(catalog.lifetime_s)
            ended = Ended(line.stamp, line.mark, until)
            effects: SpreadEffects = [*catalog.end(line.key, ended, now)]
            lines = tuple(self.outline.lines([line.key], now))
            return [*effects, Send(sender, Lines(lines))]
        if entry or catalog.has_room():
            lacking[line.key] = None
        return []

    def _has_outlived(self, told: Line | Shared, now: float) -> bool:
        """Is it only there because its keeper was away, while we would know of it?"""
        return told.away_ms >= told.left_ms and self.catalog.is_elder(now)

    def _is_ahead(self, stamp: int, now: float) -> bool:
        """Is it of a time that will not be for long?"""
        if stamp <= now * 1000 + AHEAD_MS:
            return False
        self.refused += 1
        return True

    # Who lacks something asks for it, a batch at a time

    def _pull(
        self, sender: PeerId, lacking: dict[str, None], now: float
    ) -> SpreadEffects:
        pull = self._pulls.get(sender)
        if pull is not None and pull.due > now:
            pull.keys |= lacking
            for key in list(pull.keys)[MAX_RECORDS:]:
                del pull.keys[key]
            return []
        if not lacking:
            return []
        self._pulls[sender] = pull = Pull(0, lacking, 0)
        return self._go_on(sender, pull, now)

    def _go_on(self, sender: PeerId, pull: Pull, now: float) -> SpreadEffects:
        if not pull.keys:
            del self._pulls[sender]
            return []
        pull.number, pull.due = next(self._numbers), now + PATIENCE_S
        keys = tuple(list(pull.keys)[:MAX_WANTED])
        return [Send(sender, Want(pull.number, keys))]

    def _give(self, want: Want, now: float) -> Told:
        records, weight, answered = list[Shared](), 0, 0
        for key in want.keys:
            if weight >= BATCH_BYTES:
                break
            answered += 1
            entry = self.catalog.entries.get(key)
            if entry and is_shared(entry):
                records.append(_shared(entry, now))
                weight += entry.text_bytes
        return Told(want.number, answered, tuple(records))

    def _told(self, sender: PeerId, told: Told, now: float) -> SpreadEffects:
        effects: SpreadEffects = []
        for record in told.records:
            try:
                effects += self._adopt(record, now)
            except (MalformedMessage, Overloaded) as error:
                self.refused += 1
                log.debug("record of %s refused: %s", sender, error)
        pull = self._pulls.get(sender)
        if pull is None or pull.number != told.number:
            return effects
        for key in list(pull.keys)[: max(1, told.answered)]:
            del pull.keys[key]
        return effects + self._go_on(sender, pull, now)

    def _adopt(self, record: Shared, now: float) -> SpreadEffects:
        if record.text[:1] != b"{" or self._is_ahead(record.stamp, now):
            return []
        catalog = self.catalog
        fields = decode(record.text, most=MAX_ELEMENTS + ELEMENTS_ADDED)
        entry = entry_shared(fields, record.stamp, now, catalog.lifetime_s)
        if len(entry.key) > MAX_KEY:
            raise MalformedMessage("a shared record of too long a key")
        if (entry.stamp, False, entry.mark) <= self.outline.rank(entry.key):
            return []
        known, left_s = catalog.entries.get(entry.key), record.left_ms / 1000
        if known is None and self._has_outlived(record, now):
            return []
        if known and known.mark == entry.mark:  # Its sender told both of us.
            known.away_s = record.away_ms / 1000
            return [*catalog.hear_of(known, record.stamp, left_s, now)]
        entry.away_s = record.away_ms / 1000
        return [*catalog.adopt(entry, left_s, now)]


def _shared(entry: Entry, now: float) -> Shared:
    return Shared(entry.stamp, *left_ms(entry, now), entry.text)


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch, weight = list[Entry](), 0
    for entry in entries:
        batch.append(entry)
        weight += entry.text_bytes
        if weight >= BATCH_BYTES or len(batch) == MAX_WANTED:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _portions(lines: Sequence[Line]) -> Iterator[tuple[Line, ...]]:
    for start in range(0, len(lines), MAX_LINES):
        yield tuple(lines[start : start + MAX_LINES])
