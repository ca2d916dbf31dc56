"""Making copies of a unit level: when it is taken, when it moves, when one has missed.

*Learning*: what a majority holds at one version is decided. What fewer hold may be or
not: it is written again, under our ballot, so that no rival's can win later.
*Mending*: a replica that holds less is sent it as it is; of what it holds beyond us,
which never was decided, ours is written again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from shoal.table.batches import Copy
from shoal.table.messages import Ballot, Entry, Group, Voter
from shoal.table.replication import messages as say
from shoal.table.replication.copies import part_of, parted, portioned, sums
from shoal.table.replication.holdings import Holding
from shoal.table.replication.seat import Seat

if TYPE_CHECKING:
    from shoal.table.replication.owner import Owner

# So many units at once are learned, and mended: each takes a pass over its keys.
LEARNED_AT_ONCE = 64
MENDED_AT_ONCE = 64

# Keys asked for at once.
FETCHED_KEYS = 4096

# Asked again after so long: to sum up and list a large unit takes a tenth of it. A
# slow link is given twice as long each time.
PATIENCE_S = 1.0
LONGEST_PATIENCE_S = 30.0

ALL_PARTS = list(range(say.PARTS))

Version = tuple[Ballot, int]


@dataclass(slots=True, eq=False)
class Asked:
    """What one replica says that it holds, of parts where we differ."""

    number: int
    listed: dict[int, None] = field(default_factory=dict)
    rows: dict[bytes, Version] = field(default_factory=dict)
    done: bool = False

    def take(self, listing: say.Listing) -> None:
        """One more message of it."""
        self.listed |= dict.fromkeys(listing.listed)
        for key, number, sequence in listing.rows:
            self.rows[key] = (listing.ballots[number], sequence)
        self.done = not listing.rest


@dataclass(slots=True, eq=False)
class Learning:
    """A unit whose past is being found out."""

    holding: Holding
    began: float
    asked: dict[Voter, Asked] = field(default_factory=dict)
    again: dict[bytes, None] = field(default_factory=dict)  # To be written again.
    lacking: dict[Voter, list[bytes]] = field(default_factory=dict)
    number: int = 0  # Of the fetch under way.


@dataclass(slots=True, eq=False)
class Mending:
    """A replica of a unit that may hold less, or other things."""

    holding: Holding
    voter: Voter
    asked: Asked
    at: float
    portions: list[list[Group]] = field(default_factory=list)


class Leveller:
    """All that is being learned and mended."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._table = seat.table
        self.owner: Owner | None = None
        self._numbers = count(1)
        self._queue: dict[int, Holding] = {}
        self._learning: dict[int, Learning] = {}
        self._mending: dict[tuple[int, Voter], Mending] = {}
        self._lacking: dict[tuple[int, Voter], Holding] = {}  # To be mended next.
        self._patience_s: dict[object, float] = {}  # With what was too slow lately.

    # Learning

    def learn(self, holding: Holding) -> None:
        """Find out what a unit has; the owner is told when it is known."""
        self._queue[holding.unit] = holding
        self._begin_learning()

    def hurry(self, unit: int) -> None:
        """Somebody waits for that one."""
        if holding := self._queue.pop(unit, None):
            self._queue = {unit: holding, **self._queue}

    def _begin_learning(self) -> None:
        while self._queue and len(self._learning) < LEARNED_AT_ONCE:
            unit = next(iter(self._queue))
            holding = self._queue.pop(unit)
            if self._ours(holding, "learning"):
                learning = Learning(holding, self._seat.now)
                self._learning[unit] = learning
                mine = sums(self._table.copies(unit))
                for voter in holding.learned_from.voters:
                    learning.asked[voter] = self._compare(holding, voter, mine)

    def _learning_of(self, unit: int, ballot: Ballot) -> Learning | None:
        """The learning of a unit under that ballot, if it is still of use."""
        learning = self._learning.get(unit)
        if learning is None or not self._ours(learning.holding, "learning"):
            return None
        return learning if learning.holding.ballot == ballot else None

    def _ours(self, holding: Holding, state: str) -> bool:
        assert self.owner, "it was introduced"
        same = self.owner.holdings.get(holding.unit) is holding
        return same and holding.state == state

    def _compare(self, holding: Holding, voter: Voter, mine: list[int]) -> Asked:
        number = next(self._numbers)
        asked = say.Compare(number, holding.ballot, holding.unit, ALL_PARTS, mine)
        self._seat.say(voter, asked)
        return Asked(number)

    def _learned(self, learning: Learning) -> None:
        """A replica has listed all: is it enough?"""
        holding = learning.holding
        done = [voter for voter, asked in learning.asked.items() if asked.done]
        if learning.number or not holding.learned_from.decided(done):
            return
        mine = self._versions(holding.unit, (learning.asked[v].listed for v in done))
        keys = dict.fromkeys(mine)
        for voter in done:
            keys |= dict.fromkeys(learning.asked[voter].rows)
        for key in keys:
            self._weigh_up(learning, done, key, mine.get(key))
        learning.number = -1  # Nobody else is heard.
        if not keys:  # Else who holds the same as we did may lack the same.
            holding.level |= dict.fromkeys(v for v in done if v in holding.new.voters)
        self._fetch(learning)

    def _versions(
        self, unit: int, listed: Iterable[dict[int, None]]
    ) -> dict[bytes, Version]:
        """Ours, of the parts where anybody differs."""
        parts = dict.fromkeys(part for each in listed for part in each)
        if not parts:
            return {}
        held = parted(self._table.copies(unit), parts)
        return {
            key: (copy.ballot, copy.sequence)
            for copies in held.values()
            for _, key, copy in copies
        }

    def _weigh_up(
        self, learning: Learning, done: list[Voter], key: bytes, ours: Version | None
    ) -> None:
        """What does a key have, and is that decided?"""
        said: dict[Voter, Version | None] = {}
        for voter in done:
            asked = learning.asked[voter]
            same = part_of(key) not in asked.listed
            said[voter] = ours if same else asked.rows.get(key)
        top = max((each for each in (ours, *said.values()) if each), default=None)
        holders = [voter for voter, version in said.items() if version == top]
        if not learning.holding.learned_from.decided(holders):
            learning.again[key] = None
        if top != ours:
            learning.lacking.setdefault(holders[0], []).append(key)

    def _fetch(self, learning: Learning) -> None:
        """Get what we lack, or be done."""
        holding = learning.holding
        learning.began = self._seat.now
        for voter, keys in learning.lacking.items():
            if keys:
                learning.number = next(self._numbers)
                asked = keys[:FETCHED_KEYS]
                fetch = say.Fetch(learning.number, holding.ballot, holding.unit, asked)
                self._seat.say(voter, fetch)
                return
        del self._learning[holding.unit]
        self._patience_s.pop(holding.unit, None)
        assert self.owner, "it was introduced"
        self.owner.opened(holding)
        for key in learning.again:
            self._write_again(key)
        self._begin_learning()

    def fetched(self, voter: Voter, fetched: say.Fetched) -> None:
        """What we lacked has come."""
        learning = self._learning_of(fetched.unit, fetched.ballot)
        if learning is None or learning.number != fetched.number:
            return
        for group in fetched.groups:
            self._seat.keys_moved += len(group.records)
            self._table.accept(group.ballot, group.records)
        del learning.lacking[voter][: max(1, fetched.answered)]
        self._fetch(learning)

    def _write_again(self, key: bytes) -> None:
        copy = self._table.held(key)
        if isinstance(copy, Entry):
            self._table.put(key, copy.value, copy.deadline_ms)
        else:
            self._table.bury(key)

    # What replicas say

    def listing(self, voter: Voter, listing: say.Listing) -> None:
        """What one holds of parts where we differ."""
        learning = self._learning_of(listing.unit, listing.ballot)
        asked = learning.asked.get(voter) if learning else None
        if learning and asked and _answers(listing, asked, learning.holding):
            self._take(learning.holding, voter, asked, listing)
            self._learned(learning)
        mending = self._mending.get((listing.unit, voter))
        if mending and _answers(listing, mending.asked, mending.holding):
            self._take(mending.holding, voter, mending.asked, listing)
            if mending.asked.done:
                self._mend(mending)
            self._begin_mending()

    def _take(
        self, holding: Holding, voter: Voter, asked: Asked, listing: say.Listing
    ) -> None:
        asked.take(listing)
        if listing.rest:
            asked.number = next(self._numbers)
            mine = sums(self._table.copies(holding.unit))
            rest = [part for part in listing.rest if 0 <= part < say.PARTS]
            theirs = [mine[part] ^ 1 for part in rest]  # They differed: so they shall.
            ballot, unit = holding.ballot, holding.unit
            compare = say.Compare(asked.number, ballot, unit, rest, theirs)
            self._seat.say(voter, compare)

    # Mending

    def _find_lacking(self) -> None:
        """Which replicas may lack something?"""
        assert self.owner, "it was introduced"
        for unit, holding in self.owner.holdings.items():
            if holding.state == "open" and not holding.new.whole(holding.level):
                for voter in holding.new.voters:
                    if voter not in holding.level and self._seat.sees(voter):
                        self._lacking[unit, voter] = holding

    def unpromised(self, voter: Voter, units: Iterable[int]) -> None:
        """A replica is not ours yet: it is asked for its promise first."""
        for unit in units:
            self._mending.pop((unit, voter), None)

    def granted(self, voter: Voter, granted: say.Granted) -> None:
        """It is now: what it lacks can be mended."""
        assert self.owner, "it was introduced"
        for _, units in granted.before:
            for unit in units:
                holding = self.owner.holdings.get(unit)
                ours = holding is not None and self._ours(holding, "open")
                if holding and ours and voter in holding.new.voters:
                    self._lacking[unit, voter] = holding
        self._begin_mending()

    def _begin_mending(self) -> None:
        while self._lacking and len(self._mending) < MENDED_AT_ONCE:
            key = next(iter(self._lacking))
            holding = self._lacking.pop(key)
            unit, voter = key
            lacks = voter not in holding.level and key not in self._mending
            if lacks and self._ours(holding, "open"):
                mine = sums(self._table.copies(unit))
                asked = self._compare(holding, voter, mine)
                self._mending[key] = Mending(holding, voter, asked, self._seat.now)

    def _mend(self, mending: Mending) -> None:
        """All that differs is known."""
        holding, asked = mending.holding, mending.asked
        if not self._ours(holding, "open"):
            del self._mending[holding.unit, mending.voter]
            return
        if not asked.listed:
            self._is_level(mending)
            return
        less = list[tuple[bytes, Copy]]()
        ours = self._versions(holding.unit, [asked.listed])
        for key in dict.fromkeys([*ours, *asked.rows]):
            mine, theirs = ours.get(key), asked.rows.get(key)
            if mine == theirs:
                continue
            if mine is None or (theirs is not None and theirs > mine):
                self._write_again(key)
            elif copy := self._table.held(key):
                less.append((key, copy))
        mending.portions = list(portioned(less))
        self._go_on(mending)

    def _go_on(self, mending: Mending) -> None:
        """Send the next portion, or look again when all are sent."""
        holding, voter = mending.holding, mending.voter
        mending.at = self._seat.now
        if mending.portions:
            mending.asked = Asked(next(self._numbers))
            groups = mending.portions.pop(0)
            number, ballot, unit = mending.asked.number, holding.ballot, holding.unit
            self._seat.say(voter, say.Hold(number, ballot, unit, groups))
        else:  # Compared again, to be sure.
            del self._mending[holding.unit, voter]
            self._lacking[holding.unit, voter] = holding

    def held(self, voter: Voter, held: say.Held) -> None:
        """A replica has kept what we sent."""
        mending = self._mending.get((held.unit, voter))
        ballot = mending.holding.ballot if mending else None
        if mending and (mending.asked.number, ballot) == (held.number, held.ballot):
            self._go_on(mending)

    def _is_level(self, mending: Mending) -> None:
        holding = mending.holding
        del self._mending[holding.unit, mending.voter]
        self._patience_s.pop((holding.unit, mending.voter), None)
        holding.level[mending.voter] = None
        assert self.owner, "it was introduced"
        if holding.old and holding.new.decided(holding.level):
            self.owner.ask_seal(holding)

    # Time

    def tick(self) -> None:
        """Begin what is due, and begin again what has got no answer."""
        for unit, learning in list(self._learning.items()):
            ours = self._ours(learning.holding, "learning")
            if not ours or self._late(unit, learning.began):
                del self._learning[unit]
                if ours:
                    self._queue[unit] = learning.holding
        for key, mending in list(self._mending.items()):
            ours = self._ours(mending.holding, "open")
            if not ours or self._late(key, mending.at):
                del self._mending[key]
        self._begin_learning()
        self._begin_mending()

    def _late(self, what: object, since: float) -> bool:
        """Has it taken too long? Then it is given longer the next time."""
        patience_s = self._patience_s.get(what, PATIENCE_S)
        late = self._seat.now > since + patience_s
        if late:
            self._patience_s[what] = min(2 * patience_s, LONGEST_PATIENCE_S)
        return late

    def look_around(self) -> None:
        """See who may lack something."""
        self._find_lacking()
        self._begin_mending()


def _answers(listing: say.Listing, asked: Asked, holding: Holding) -> bool:
    """Is it the answer to that, and not to an earlier tenure's, nor a second time?"""
    same = (listing.number, listing.ballot) == (asked.number, holding.ballot)
    return same and not asked.done
