"""Who sees all that any peer ever has, says and does, and what may never be seen.

Each check is a step of the argument why every operation is linearizable: a fault is
found where it is made, not only where a client comes to notice.
"""

from random import Random

from shoal.core.machine import PeerId
from shoal.table.batches import Batch, Copy
from shoal.table.messages import NEVER, UNIT_BITS, Ballot, Entry, Record, View, Voter
from shoal.table.protocol import Table
from shoal.table.replication import messages as say
from shoal.table.replication.holdings import Holding, decided
from shoal.table.replication.protocol import Replica
from shoal.table.replication.seat import Seat
from shoal.table.replication.views import Circle, Circles
from shoal.table.slots import slot_of

Version = tuple[Ballot, int]

# A value, until when, or a deletion.
Had = tuple[bytes, int] | None


_NONE: Version = (Ballot(view=0, counter=0, peer=PeerId(""), start=0), 0)


class Witness:
    """Sees every version that any table ever has, and every word that binds."""

    def __init__(self) -> None:
        self._values: dict[tuple[bytes, Version], Had] = {}
        self._holders: dict[tuple[bytes, Version], dict[str, None]] = {}
        self._newest: dict[bytes, dict[Voter, Version]] = {}  # That each has of a key.
        self._promised: dict[tuple[str, int], Ballot] = {}
        self._sealed: dict[tuple[str, int], int] = {}
        self._views: dict[str, int] = {}
        self._votes: dict[tuple[str, int], Ballot] = {}
        self._owners: dict[tuple[int, Ballot], Table] = {}
        # The highest tenure of a unit under which anything was safe.
        self.settled: dict[int, Ballot] = {}
        # The newest version of a key that was safe, and that was forgotten.
        self.safe: dict[bytes, Version] = {}
        self._purged: dict[bytes, Version] = {}
        self._left: dict[tuple[Voter, int], None] = {}  # Units that one has forgotten.
        self.latest: Circles | None = None  # Of the last view that anybody has.

    def has_left(self, unit: int, old: Circle | None) -> bool:
        """Has one of those that kept a unit forgotten it, as one does when it moved?"""
        return old is not None and any((v, unit) in self._left for v in old.voters)

    def viewed(self, view: View, units: int) -> None:
        """Somebody has that view."""
        if self.latest is None or self.latest.view.number < view.number:
            self.latest = Circles(view, units)

    def saw(self, who: Voter, key: bytes, version: Version, has: Had) -> None:
        """No two values share a version."""
        before = self._values.setdefault((key, version), has)
        assert before == has, f"{key!r}: {before!r} and {has!r} are one version"
        self._holders.setdefault((key, version), {})[who] = None
        newest = self._newest.setdefault(key, {})
        newest[who] = max(newest.get(who, version), version)

    def forgot(self, who: Voter, unit: int) -> None:
        """It has nothing of a unit any more."""
        self._left[who, unit] = None
        for key, newest in self._newest.items():
            if slot_of(key) >> UNIT_BITS == unit:
                newest.pop(who, None)

    def held(self, key: bytes, version: Version) -> dict[Voter, None]:
        """Who has that of a key, or what is newer."""
        newest = self._newest.get(key, {})
        return {who: None for who, has in newest.items() if has >= version}

    # Words that bind

    def said(self, voter: str, message: say.Message) -> None:
        """A voter says what it is bound to from now on, even if it starts anew."""
        match message:
            case say.Granted(ballot, before):
                for unit in [unit for _, units in before for unit in units]:
                    mine = voter, unit
                    self._promised[mine] = max(self._promised.get(mine, ballot), ballot)
                self._is_in(voter, ballot.view)
            case say.Sealed(ballot, units):
                for unit in units:
                    before_ = self._sealed.get((voter, unit), 0)
                    self._sealed[voter, unit] = max(before_, ballot.view)
            case say.Pledged(number, ballot) | say.Aye(number, ballot):
                voted = self._votes.get((voter, number), ballot)
                self._votes[voter, number] = max(voted, ballot)
                self._is_in(voter, number - 1)

    def _is_in(self, voter: str, number: int) -> None:
        self._views[voter] = max(self._views.get(voter, 0), number)

    def woke(self, replica: Replica) -> None:
        """After a restart it still is."""
        voter, keeper, number = replica.seat.me, replica.keeper, replica.seat.number
        for unit, ballot in enumerate(keeper.promised):
            before = self._promised.get((voter, unit))
            kept = before is None or (ballot is not None and ballot >= before)
            assert kept, f"{voter} promised {before} for unit {unit}, then {ballot}"
            sealed = self._sealed.get((voter, unit), 0)
            assert keeper.sealed[unit] >= sealed, f"{voter} has forgotten a seal"
        assert number >= self._views.get(voter, 0), f"{voter} is back in view {number}"
        vote, voted = keeper.vote, self._votes.get((voter, number + 1))
        kept = voted is None or (vote is not None and vote.promised >= voted)
        assert kept, f"{voter} voted with {voted}, then {vote}"
        for unit in range(replica.seat.units):
            self.forgot(voter, unit)
            for _, key, copy in replica.seat.table.copies(unit):
                self.saw(voter, key, (copy.ballot, copy.sequence), had(copy))

    # Tenures

    def opened(self, table: "Witnessed", unit: int, ballot: Ballot) -> None:
        """An owner serves: it alone has that ballot, was promised it, and knows all."""
        alone = True  # Then deletions are forgotten without a word.
        kept: tuple[Voter, ...] = (table.voter,)
        if replica := table.replica:
            holding = replica.owner.holdings[unit]
            self._expect_promised(holding, table.voter)
            self._expect_sealed(holding, replica.seat)
            kept = holding.learned_from.voters
            alone = kept == (table.voter,)
        owner = self._owners.setdefault((unit, ballot), table)
        assert owner is table, f"two own unit {unit} under {ballot}"
        for key, safe in list(self.safe.items()):
            # Who was granted it long ago may open it after a later owner has.
            if slot_of(key) >> UNIT_BITS == unit and safe[0] <= ballot:
                held = version_of(table.held(key))
                knows = held is not None and held >= safe
                if held is None and (alone or self._deleted(kept, key, safe)):
                    self.forgotten(key, safe)
                else:
                    assert knows, f"{key!r} is safe at {safe}, its owner knows {held}"
        if not table.shared:
            for key, grave in table.graves[unit].items():
                self.forgotten(key, (grave.ballot, grave.sequence))

    def _expect_sealed(self, holding: Holding, seat: Seat) -> None:
        """Old replicas are left out only if enough new ones have written that down."""
        if holding.unit in seat.moved and holding.old is None:
            sealed = [
                voter
                for voter in holding.voters
                if voter == seat.me
                or self._sealed.get((voter, holding.unit), 0) >= seat.number
            ]
            enough = holding.new.decided(sealed)
            assert enough, f"only {sealed} have sealed what {holding} serves"

    def _deleted(self, kept: tuple[Voter, ...], key: bytes, safe: Version) -> bool:
        """Has one who alone kept it deleted it, told to nobody, and forgotten that?"""
        newest = self._newest.get(key, {}).get(kept[0], safe)
        return len(kept) == 1 and newest > safe and not self._values[key, newest]

    def _expect_promised(self, holding: Holding, me: Voter) -> None:
        promised = [
            voter
            for voter in holding.voters
            if voter == me
            or self._promised.get((voter, holding.unit), _NONE[0]) >= holding.ballot
        ]
        old = None if holding.seal_told else holding.old
        enough = decided((old, holding.new), promised)
        assert enough, f"only {promised} have promised what {holding} serves"

    def forgotten(self, key: bytes, version: Version) -> None:
        """From now on a key has nothing, and need not say so."""
        self._purged[key] = max(self._purged.get(key, version), version)
        if self.safe.get(key, version) <= version:
            self.safe.pop(key, None)

    def made_safe(
        self, batch: Batch, then: dict[int, Ballot], table: "Witnessed"
    ) -> None:
        """A batch counts only if no later tenure had done anything when it was made."""
        for unit in batch.units:
            ballot = table.ballots[unit]
            later = then.get(unit, ballot)
            assert later <= ballot, f"{ballot} is obeyed after {later} in unit {unit}"
            self.settled[unit] = max(self.settled.get(unit, ballot), ballot)
        for group in batch.own:
            for _, key, sequence, _, _ in group.records:
                version = group.ballot, sequence
                table.expect_held(key, version, kept=batch.kept)
                if version > self._purged.get(key, _NONE):
                    self.safe[key] = max(self.safe.get(key, version), version)

    def purged(self, purge: say.Purge, holding: Holding) -> None:
        """Nobody is told to forget a deletion that not all have had."""
        assert holding.old is None, f"{holding} has not moved, and forgets deletions"
        for group in purge.groups:
            for _, key, sequence, _, _ in group.records:
                version = group.ballot, sequence
                holders = self._holders.get((key, version), {})
                lacking = [voter for voter in holding.voters if voter not in holders]
                assert not lacking, f"{lacking} never had {version} of {key!r}"
                self.forgotten(key, version)


def version_of(copy: Copy | None) -> Version | None:
    return (copy.ballot, copy.sequence) if copy else None


def had(copy: Copy) -> Had:
    return (copy.value, copy.deadline_ms) if isinstance(copy, Entry) else None


class Witnessed(Table):
    """A table under witness."""

    def __init__(self, ballot: Ballot, rng: Random, witness: Witness) -> None:
        super().__init__(ballot, rng, logged=True)
        self.voter = Voter("")
        self.replica: Replica | None = None
        self._witness = witness
        self._then: dict[int, dict[int, Ballot]] = {}

    def put(self, key: bytes, value: bytes, deadline_ms: int = NEVER) -> None:
        super().put(key, value, deadline_ms)
        self._saw(key)

    def drop(self, key: bytes) -> bool:
        dropped = super().drop(key)
        if dropped:
            self._saw(key)
            if not self.shared:
                ballot = self.ballots[slot_of(key) >> UNIT_BITS]
                self._witness.forgotten(key, (ballot, self.sequence))
        return dropped

    def bury(self, key: bytes) -> None:
        super().bury(key)
        self._saw(key)

    def lay(self, ballot: Ballot, record: Record) -> None:
        super().lay(ballot, record)
        self._saw(record[1])

    def _saw(self, key: bytes) -> None:
        copy = self.held(key)
        if copy:
            version = copy.ballot, copy.sequence
            self._witness.saw(self.voter, key, version, had(copy))

    def forget(self, unit: int) -> None:
        super().forget(unit)
        self._witness.forgot(self.voter, unit)

    def expect_held(self, key: bytes, version: Version, *, kept: bool) -> None:
        """What anybody is told of, enough replicas have, or what is newer."""
        unit = slot_of(key) >> UNIT_BITS
        holders = self._witness.held(key, version)
        if not kept:
            holders.pop(self.voter, None)
        if self.replica:
            circles = self._circles(self.replica, unit)
            seat = self.replica.seat
            if self._witness.has_left(unit, seat.old(unit)):
                circles.append(seat.new(unit))  # The old forget, and need not count.
            latest = self._witness.latest
            if latest and latest.view.number > self.replica.seat.number:
                circles.append(latest.units[unit])  # It has moved on meanwhile.
            enough = any(circle.decided(holders) for circle in circles)
            assert enough, f"{version} of {key!r}: only {list(holders)} have it"

    def _circles(self, replica: Replica, unit: int) -> list[Circle]:
        """Where what is decided of a unit can be learned."""
        holding = replica.owner.holdings.get(unit)
        if holding and holding.state not in ("open", "yielding"):
            holding = holding.former
        old = replica.seat.old(unit)
        if holding and old and old.voters == holding.new.voters:
            # The view that follows says that it has moved; its owner did not hear it.
            return [holding.learned_from, holding.new]
        if holding:
            return [holding.learned_from]
        return [replica.seat.new(unit), *([old] if old else [])]

    def open(self, unit: int, ballot: Ballot) -> None:
        super().open(unit, ballot)
        self._witness.opened(self, unit, ballot)

    def close_batch(self) -> Batch | None:
        batch = super().close_batch()
        if batch:
            self._then[batch.ticket] = dict(self._witness.settled)
        return batch

    def settle(self, batch: Batch) -> None:
        if self.fate(batch.ticket) is None:
            then = self._then.pop(batch.ticket, {})
            self._witness.made_safe(batch, then, self)
        super().settle(batch)
