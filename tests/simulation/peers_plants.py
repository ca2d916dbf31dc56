"""Faults to plant where peers own and change a table, each to be found by the tests.

What has no meaning here: a sequence is not used again, since a peer has one for all its
keys; no replica remembers what it was asked, so none confirms by "nothing since"; that
a request runs once, and is not sent again, is forwarding's promise, not a replica's.
"""

from collections.abc import Iterable
from typing import Any

import pytest

from shoal.core.machine import PeerId
from shoal.table.batches import Batch
from shoal.table.ledger import Ledger
from shoal.table.messages import Ballot, Entry, Voter
from shoal.table.protocol import Table
from shoal.table.replication import messages as say
from shoal.table.replication import protocol, rounds
from shoal.table.replication.holdings import Holding
from shoal.table.replication.keeper import Keeper
from shoal.table.replication.owner import Owner
from shoal.table.replication.protocol import Replica
from shoal.table.replication.round import Round
from shoal.table.replication.rounds import Rounds
from shoal.table.replication.seat import Seat
from shoal.table.replication.views import Circle
from tests.simulation import peers_properties as hold
from tests.simulation import peers_weather as weather
from tests.simulation.plants import Plant
from tests.simulation.properties import Property

# Promises


def answered_before_the_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Seat, "reply", Seat.say)


def promises_forgotten_at_restart(patch: pytest.MonkeyPatch) -> None:
    honest = Keeper.__init__

    def begin(self: Keeper, seat: Any, remains: Any, taken: Any) -> None:
        remains.promised = {}
        honest(self, seat, remains, taken)

    patch.setattr(Keeper, "__init__", begin)


def a_promise_a_full_disk_refused_is_not_written_again(
    patch: pytest.MonkeyPatch,
) -> None:
    honest = Replica.released

    def released(self: Replica, safe: int, refused: int, now: float) -> Any:
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(self.keeper, "bonds", tuple)
            return honest(self, safe, refused, now)

    patch.setattr(Replica, "released", released)


def a_ballot_used_again_after_a_restart(patch: pytest.MonkeyPatch) -> None:
    def next_ballot(self: Owner, _: list[int]) -> Ballot:
        self._counter += 1
        me = PeerId(self._seat.me)
        return Ballot(self._seat.number, self._counter, me, 0)

    patch.setattr(Owner, "_next_ballot", next_ballot)


def accepted_below_the_promise(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Keeper, "_stands", lambda self, unit, _: self._keeps(unit))


def an_earlier_owner_is_believed(patch: pytest.MonkeyPatch) -> None:
    honest = Owner.told

    def told(self: Owner, ballot: Ballot, units: Iterable[int]) -> None:
        known = [unit for unit in units if unit < self._seat.units]
        honest(self, ballot, known)
        for unit in known:
            self.heard[unit] = ballot

    patch.setattr(Owner, "told", told)


# Counting


def a_replica_is_counted_twice(patch: pytest.MonkeyPatch) -> None:
    honest = Rounds.accepted

    def accepted(self: Rounds, voter: Voter, accepted: say.Accepted) -> None:
        round_ = self._rounds.get(accepted.round)
        again = round_ is not None and voter in round_.acked
        others = round_.silent(self._seat.me) if round_ and again else []
        honest(self, others[0] if others else voter, accepted)

    patch.setattr(Rounds, "accepted", accepted)


def a_promise_is_counted_twice(patch: pytest.MonkeyPatch) -> None:
    honest = Owner.granted

    def granted(self: Owner, voter: Voter, granted: say.Granted) -> None:
        for _, units in granted.before:
            holding = self.holdings.get(units[0]) if units else None
            if holding and voter in holding.granted:
                others = [v for v in holding.voters if v not in holding.granted]
                voter = others[0] if others else voter
        honest(self, voter, granted)

    patch.setattr(Owner, "granted", granted)


def anybody_breaks_a_tie(patch: pytest.MonkeyPatch) -> None:
    def decided(self: Circle, by: Any) -> bool:
        return 2 * sum(voter in by for voter in self.voters) >= len(self.voters)

    patch.setattr(Circle, "decided", decided)


def an_answer_of_an_earlier_start_counts(patch: pytest.MonkeyPatch) -> None:
    honest = Rounds.accepted

    def accepted(self: Rounds, voter: Voter, accepted: say.Accepted) -> None:
        honest(self, voter, say.Accepted(self._seat.start, accepted.round))

    patch.setattr(Rounds, "accepted", accepted)


def a_grant_of_an_earlier_tenure_counts(patch: pytest.MonkeyPatch) -> None:
    honest = Owner.granted

    def granted(self: Owner, voter: Voter, granted: say.Granted) -> None:
        for before, units in granted.before:
            for unit in units:
                if holding := self.holdings.get(unit):
                    one = say.Granted(holding.ballot, [(before, [unit])], [])
                    honest(self, voter, one)

    patch.setattr(Owner, "granted", granted)


# Reading


def read_without_asking(patch: pytest.MonkeyPatch) -> None:
    honest = Table.find

    def find(self: Table, key: bytes) -> Entry | None:
        before, units = self.rests_on, dict(self._open.units)
        found = honest(self, key)
        if not self._records:
            self._open.units = units
        self.rests_on = max(before, self.dirty.get(key, 0))
        return found

    patch.setattr(Table, "find", find)


def absence_is_told_without_asking(patch: pytest.MonkeyPatch) -> None:
    honest = Table.find

    def find(self: Table, key: bytes) -> Entry | None:
        before = self.rests_on
        found = honest(self, key)
        if found is None:
            self.rests_on = max(before, self.dirty.get(key, 0))
        return found

    patch.setattr(Table, "find", find)


def confirmed_before_it_was_asked(patch: pytest.MonkeyPatch) -> None:
    """A read rests on what is on its way already."""
    honest = Table.read

    def read(self: Table, unit: int) -> None:
        latest = [t for t, batch in self.pending.items() if unit in batch.units]
        if latest:
            self.rests_on = max(self.rests_on, latest[-1])
        else:
            honest(self, unit)

    patch.setattr(Table, "read", read)


def a_change_on_its_way_is_read(patch: pytest.MonkeyPatch) -> None:
    """An answer waits for its own batch, and not for those it has read from."""
    patch.setattr(Rounds, "_waits", lambda *_: False)


def what_waits_for_what_waits_is_not_asked(patch: pytest.MonkeyPatch) -> None:
    def waits(self: Rounds, round_: Round) -> bool:
        earlier = [self._rounds[t] for t in round_.after if t in self._rounds]
        return any(not each.decided for each in earlier)

    patch.setattr(Rounds, "_waits", waits)


# Changing


def a_change_is_given_up(patch: pytest.MonkeyPatch) -> None:
    """And nobody waits for it any more."""
    honest = Rounds.tick

    def tick(self: Rounds) -> None:
        honest(self)
        for ticket in list(self._rounds):
            if self._table.fate(ticket) is not None:
                del self._rounds[ticket]

    patch.setattr(rounds, "PATIENCE_S", 0.3)
    patch.setattr(Rounds, "tick", tick)


def a_change_others_may_hold_is_called_not_done(patch: pytest.MonkeyPatch) -> None:
    honest = Ledger.fail

    def fail(self: Ledger, batch: Batch, why: str) -> None:
        honest(self, batch, self._failed.get(batch.ticket, why))

    patch.setattr(Ledger, "fail", fail)


def a_change_refused_is_called_not_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rounds, "LOST", "REFUSED")


def what_is_on_its_way_is_not_said_again(patch: pytest.MonkeyPatch) -> None:
    def resume(self: Rounds, unit: int) -> None:
        for round_ in list(self._rounds.values()):
            if round_.drop(unit):
                self._look(round_)

    patch.setattr(Rounds, "resume", resume)


def a_lost_unit_s_changes_count(patch: pytest.MonkeyPatch) -> None:
    def lose(self: Rounds, unit: int) -> None:
        for round_ in list(self._rounds.values()):
            if round_.drop(unit):
                self._look(round_)

    patch.setattr(Rounds, "lose", lose)


# Tenures


def renewed_without_asking_who_came_between(patch: pytest.MonkeyPatch) -> None:
    def undisturbed(self: Holding) -> bool:
        return self.former is not None

    patch.setattr(Holding, "undisturbed", undisturbed)


def told_in_another_tenure_than_done(patch: pytest.MonkeyPatch) -> None:
    honest = Owner.claim

    def claim(self: Owner, units: Iterable[int]) -> None:
        flush, self._flush = self._flush, lambda: None
        honest(self, units)
        self._flush = flush

    patch.setattr(Owner, "claim", claim)


def a_lost_log_leaves_the_same_voter(patch: pytest.MonkeyPatch) -> None:
    def voter_of(peer: str, _: int) -> Voter:
        return Voter(f"{peer}~1")

    patch.setattr(protocol, "voter_of", voter_of)


def kept_is_what_others_have_answered(patch: pytest.MonkeyPatch) -> None:
    """The owner's own disk is not waited for, and counts."""
    honest = Rounds._begin

    def begin(self: Rounds, batches: list[Batch]) -> None:
        honest(self, batches)
        if round_ := self._rounds.get(batches[-1].ticket):
            round_.acked[self._seat.me] = None
            self._look(round_)

    patch.setattr(Rounds, "_begin", begin)


def what_has_a_majority_waits_for_what_has_none(patch: pytest.MonkeyPatch) -> None:
    def overdue(self: Rounds) -> list[int]:
        return []

    patch.setattr(Rounds, "overdue", overdue)


ONE, MOVING, TWO, FULL = hold.PEERS_PROPERTIES
RIVALS, CROWDS, STUCK, CUT, AGAIN, _ = weather.PEERS_WEATHER

# Each fault with the properties that must find it.
PEERS_PLANTS: list[tuple[Plant, list[Property]]] = [
    (answered_before_the_sync, [RIVALS]),
    (promises_forgotten_at_restart, [ONE]),
    (a_promise_a_full_disk_refused_is_not_written_again, [FULL]),
    (a_ballot_used_again_after_a_restart, [ONE]),
    (accepted_below_the_promise, [RIVALS]),
    (an_earlier_owner_is_believed, [ONE]),
    (a_replica_is_counted_twice, [RIVALS]),
    (a_promise_is_counted_twice, [RIVALS]),
    (anybody_breaks_a_tie, [TWO]),
    (an_answer_of_an_earlier_start_counts, [AGAIN]),
    (a_grant_of_an_earlier_tenure_counts, [ONE]),
    (read_without_asking, [CUT]),
    (absence_is_told_without_asking, [MOVING, CUT]),
    (confirmed_before_it_was_asked, [CUT]),
    (a_change_on_its_way_is_read, [ONE]),
    (what_waits_for_what_waits_is_not_asked, [RIVALS]),
    (a_change_is_given_up, [RIVALS]),
    (a_change_others_may_hold_is_called_not_done, [FULL]),
    (a_change_refused_is_called_not_done, [TWO]),
    (what_is_on_its_way_is_not_said_again, [MOVING]),
    (a_lost_unit_s_changes_count, [TWO]),
    (told_in_another_tenure_than_done, [CROWDS]),
    (renewed_without_asking_who_came_between, [CUT]),
    (a_lost_log_leaves_the_same_voter, [MOVING]),
    (kept_is_what_others_have_answered, [RIVALS]),
    (what_has_a_majority_waits_for_what_has_none, [STUCK]),
]
