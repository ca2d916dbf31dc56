"""The replica: keeps copies for owners, and its word.

It promises a unit to the highest ballot that asks, does nothing for a lower one, and
says nothing before all it rests on is on its disk: that is the whole of safety here.
"""

from collections.abc import Callable, Iterable

from shoal.table.batches import Copy
from shoal.table.messages import (
    UNIT_BITS,
    Ballot,
    Birth,
    Group,
    Note,
    Promise,
    Sealing,
    Vote,
    Voter,
)
from shoal.table.recovery import Remains
from shoal.table.replication import messages as say
from shoal.table.replication.copies import (
    FETCHED_BYTES,
    grouped,
    parted,
    sums,
    weigh,
)
from shoal.table.replication.seat import Seat

# What a listing holds: far below a frame of a link.
LISTED_ROWS = 16_384


class Keeper:
    """What this voter has promised."""

    def __init__(
        self, seat: Seat, remains: Remains, taken: Callable[[int, Ballot], None]
    ) -> None:
        """`taken` is told what was promised to somebody."""
        self._seat = seat
        self._table = seat.table
        self._taken = taken
        self._birth = remains.birth
        self.promised: list[Ballot | None] = [
            remains.promised.get(unit) for unit in range(seat.units)
        ]
        self.sealed = [remains.sealed.get(unit, 0) for unit in range(seat.units)]
        self.vote: Vote | None = remains.vote

    def bonds(self) -> list[Note]:
        """All that we are bound to, for the log."""
        promises: dict[Ballot, list[int]] = {}
        for unit, ballot in enumerate(self.promised):
            if ballot:
                promises.setdefault(ballot, []).append(unit)
        seals: dict[int, list[int]] = {}
        for unit, number in enumerate(self.sealed):
            if number:
                seals.setdefault(number, []).append(unit)
        return [
            Birth(self._birth),
            *self._seat.views,
            *([self.vote] if self.vote else ()),
            *(Promise(ballot, units) for ballot, units in promises.items()),
            *(Sealing(number, units) for number, units in seals.items()),
        ]

    # Promises

    def prepare(self, sender: Voter, asked: say.Prepare) -> None:
        """Promise what is not promised to a higher ballot."""
        ballot, before = asked.ballot, dict[Ballot | None, list[int]]()
        ours = [unit for unit in asked.units if self._keeps(unit)]
        granted = [unit for unit in ours if not self._above(unit, ballot)]
        self._refuse(sender, ballot, [u for u in ours if self._above(u, ballot)])
        if not granted:
            return
        for unit in granted:
            before.setdefault(self.promised[unit], []).append(unit)
        fresh = [unit for unit in granted if self.promised[unit] != ballot]
        if fresh:
            self._table.note(Promise(ballot, fresh))
        for unit in fresh:
            self.promised[unit] = ballot
            self._taken(unit, ballot)
        sealed = [unit for unit in granted if self.sealed[unit] == ballot.view]
        self._seat.reply(sender, say.Granted(ballot, list(before.items()), sealed))

    def standing(self, sender: Voter, ballot: Ballot, units: Iterable[int]) -> bool:
        """Are all of these promised to that very ballot? Else the sender is told."""
        others = [unit for unit in units if not self._stands(unit, ballot)]
        if others:
            ours = [unit for unit in others if self._keeps(unit)]
            self._refuse(sender, ballot, [u for u in ours if self._above(u, ballot)])
            asked = [unit for unit in ours if not self._above(unit, ballot)]
            if asked:
                self._seat.reply(sender, say.Unpromised(ballot, asked))
        return not others

    def _keeps(self, unit: int) -> bool:
        return unit < self._seat.units and self._seat.keeps(unit)

    def _stands(self, unit: int, ballot: Ballot) -> bool:
        return self._keeps(unit) and self.promised[unit] == ballot

    def _above(self, unit: int, ballot: Ballot) -> bool:
        promised = self.promised[unit]
        return promised is not None and promised > ballot

    def _refuse(self, sender: Voter, ballot: Ballot, units: list[int]) -> None:
        by_promise: dict[Ballot, list[int]] = {}
        for unit in units:
            promised = self.promised[unit]
            assert promised, "it is above another"
            by_promise.setdefault(promised, []).append(unit)
        for promised, refused in by_promise.items():
            self._seat.reply(sender, say.Refused(ballot, promised, refused))

    # Copies

    def accept(self, sender: Voter, asked: say.Accept) -> None:
        """Keep changes, and say that all is as the owner believes."""
        changes = any(share.groups for share in asked.shares)
        if changes and self._table.choked:
            return  # As if it were lost: they ask again, or compare later.
        whole = True
        for share in asked.shares:
            if not self.standing(sender, share.ballot, share.units):
                whole = False
                continue
            for group in share.groups:
                self._keep(share.ballot, group, share.units)
        accepted = say.Accepted(asked.start, asked.round)
        if whole and changes:
            self._seat.reply(sender, accepted)
        elif whole:
            self._seat.say(sender, accepted)

    def hold(self, sender: Voter, asked: say.Hold) -> None:
        """Keep copies of what was decided under other ballots."""
        if self._table.choked:
            return
        if self.standing(sender, asked.ballot, [asked.unit]):
            for group in asked.groups:
                self._seat.keys_moved += len(group.records)
                self._keep(asked.ballot, group, [asked.unit])
            held = say.Held(asked.number, asked.ballot, asked.unit)
            self._seat.reply(sender, held)

    def _keep(self, under: Ballot, group: Group, units: list[int]) -> None:
        if group.ballot > under:
            return  # Nobody honest says so.
        inside = [each for each in group.records if each[0] >> UNIT_BITS in units]
        promised = self.promised[units[0]] if units else None
        ballot = promised if promised == group.ballot else group.ballot
        self._table.accept(ballot or group.ballot, inside)

    def seal(self, sender: Voter, asked: say.Seal) -> None:
        """Write down that units have moved."""
        if self.standing(sender, asked.ballot, asked.units):
            number = asked.ballot.view
            fresh = [unit for unit in asked.units if self.sealed[unit] < number]
            if fresh:
                self._table.note(Sealing(number, fresh))
            for unit in fresh:
                self.sealed[unit] = number
            self._seat.reply(sender, say.Sealed(asked.ballot, asked.units))

    def purge(self, sender: Voter, asked: say.Purge) -> None:
        """Forget deletions, if they are still what we hold."""
        if not self.standing(sender, asked.ballot, [asked.unit]):
            return
        graves = self._table.graves[asked.unit]
        for group in asked.groups:
            for _, key, sequence, _, _ in group.records:
                grave = graves.get(key)
                if grave and (grave.ballot, grave.sequence) == (group.ballot, sequence):
                    del graves[key]

    # Comparing

    def compare(self, sender: Voter, asked: say.Compare) -> None:
        """List what differs, as much as a message holds."""
        if not self.standing(sender, asked.ballot, [asked.unit]):
            return
        mine = sums(self._table.copies(asked.unit))
        pairs = zip(asked.parts, asked.sums, strict=False)
        rest = [part for part, other in pairs if mine[part] != other]
        listed, rows, ballots = (
            list[int](),
            list[tuple[bytes, int, int]](),
            list[Ballot](),
        )
        if rest:
            by_part = parted(self._table.copies(asked.unit), rest)
            numbers: dict[Ballot, int] = {}
            while rest and len(rows) < LISTED_ROWS:
                listed.append(rest.pop(0))
                for _, key, copy in by_part[listed[-1]]:
                    number = numbers.setdefault(copy.ballot, len(numbers))
                    rows.append((key, number, copy.sequence))
            ballots = list(numbers)
        self._seat.reply(
            sender,
            say.Listing(
                asked.number, asked.ballot, asked.unit, listed, rest, ballots, rows
            ),
        )

    def fetch(self, sender: Voter, asked: say.Fetch) -> None:
        """Tell what keys have, as much as a message holds."""
        if not self.standing(sender, asked.ballot, [asked.unit]):
            return
        answered, weight, copies = 0, 0, list[tuple[bytes, Copy]]()
        for key in asked.keys:
            if weight > FETCHED_BYTES:
                break
            answered += 1
            if copy := self._table.held(key):
                copies.append((key, copy))
                weight += weigh(key, copy)
        groups = grouped(copies)
        self._seat.reply(
            sender,
            say.Fetched(asked.number, asked.ballot, asked.unit, answered, groups),
        )
