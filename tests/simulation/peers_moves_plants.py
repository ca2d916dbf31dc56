"""Faults to plant where units are learned, levelled, moved and voted on.

What has no meaning here: a write in flight does not hinder a seal, since it needs its
new replicas too; what is whole was sealed when most were level, so that nothing is
purged where it has yet to move.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from shoal.table.batches import Copy
from shoal.table.messages import NEVER, UNIT_BITS, Ballot, Group, View, Voter
from shoal.table.protocol import Table
from shoal.table.replication import holdings, levelling, rounds
from shoal.table.replication import messages as say
from shoal.table.replication.decrees import Decrees
from shoal.table.replication.holdings import Holding, Kind
from shoal.table.replication.keeper import Keeper
from shoal.table.replication.levelling import Learning, Leveller, Version
from shoal.table.replication.owner import Owner
from shoal.table.replication.protocol import Replica
from shoal.table.replication.roll import Roll
from shoal.table.replication.rounds import Rounds
from shoal.table.replication.tombstones import Sexton
from shoal.table.replication.views import Circle
from shoal.table.slots import slot_of
from tests.simulation import peers_properties as hold
from tests.simulation import peers_weather as weather
from tests.simulation.plants import Plant
from tests.simulation.properties import Property

# Learning


def learned_from_who_has_not_promised(patch: pytest.MonkeyPatch) -> None:
    def standing(self: Keeper, sender: Voter, ballot: Ballot, units: Any) -> bool:
        return True

    for name in ("compare", "fetch"):
        honest = getattr(Keeper, name)

        def lax(self: Keeper, sender: Voter, asked: Any, honest: Any = honest) -> None:
            with pytest.MonkeyPatch.context() as inside:
                inside.setattr(Keeper, "standing", standing)
                honest(self, sender, asked)

        patch.setattr(Keeper, name, lax)
    patch.setattr(Owner, "_enough", lambda _, holding: bool(holding.granted))


def any_version_is_taken_for_the_highest(patch: pytest.MonkeyPatch) -> None:
    def first(versions: Iterator[Version], default: None) -> Version | None:
        return next(iter(versions), default)

    patch.setattr(levelling, "max", first, raising=False)


def what_few_hold_is_settled_as_it_was(patch: pytest.MonkeyPatch) -> None:
    honest = Leveller._weigh_up

    def weigh_up(self: Leveller, learning: Learning, *args: Any) -> None:
        honest(self, learning, *args)
        learning.again.clear()

    patch.setattr(Leveller, "_weigh_up", weigh_up)


def one_answer_is_enough_to_learn(patch: pytest.MonkeyPatch) -> None:
    honest = Leveller._learned

    def learned(self: Leveller, learning: Learning) -> None:
        one = {v: None for v, asked in learning.asked.items() if asked.done}
        circle = Circle(tuple(one), next(iter(one), Voter("")))
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(Holding, "learned_from", circle)
            honest(self, learning)

    patch.setattr(Leveller, "_learned", learned)


def learned_from_new_replicas_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Holding, "learned_from", property(lambda self: self.new))


def the_owner_s_own_keys_are_learned(patch: pytest.MonkeyPatch) -> None:
    honest = Leveller._weigh_up

    def weigh_up(
        self: Leveller, learning: Learning, done: Any, key: bytes, ours: Any
    ) -> None:
        if ours is not None:
            honest(self, learning, done, key, ours)

    patch.setattr(Leveller, "_weigh_up", weigh_up)


def deletions_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    honest = Table.copies

    def copies(self: Table, unit: int) -> Iterator[tuple[int, bytes, Copy]]:
        for slot, key, copy in honest(self, unit):
            if key not in self.graves[unit]:
                yield slot, key, copy

    patch.setattr(Table, "copies", copies)


# Moving


def old_replicas_are_not_asked(patch: pytest.MonkeyPatch) -> None:
    def only_new(kind: Kind, by: Any) -> bool:
        return kind[1].decided(by)

    patch.setattr(rounds, "decided", only_new)
    patch.setattr(holdings, "decided", only_new)

    def enough(self: Owner, holding: Holding) -> bool:
        return holding.new.decided(holding.granted)

    patch.setattr(Owner, "_enough", enough)


def new_replicas_are_not_asked(patch: pytest.MonkeyPatch) -> None:
    def only_old(kind: Kind, by: Any) -> bool:
        return (kind[0] or kind[1]).decided(by)

    patch.setattr(rounds, "decided", only_old)
    patch.setattr(holdings, "decided", only_old)

    def enough(self: Owner, holding: Holding) -> bool:
        return holding.learned_from.decided(holding.granted)

    patch.setattr(Owner, "_enough", enough)


def sealed_before_it_is_level(patch: pytest.MonkeyPatch) -> None:
    def sealing(self: Holding) -> bool:
        return self.old is not None and self.state in ("open", "resealing")

    patch.setattr(Holding, "sealing", property(sealing))


def one_seal_is_enough(patch: pytest.MonkeyPatch) -> None:
    honest = Owner.sealed

    def sealed(self: Owner, voter: Voter, sealed: say.Sealed) -> None:
        for unit in sealed.units:
            if holding := self.holdings.get(unit):
                holding.seals |= dict.fromkeys(holding.new.voters)
        honest(self, voter, sealed)

    patch.setattr(Owner, "sealed", sealed)


def a_seal_told_of_is_not_written_again(patch: pytest.MonkeyPatch) -> None:
    def reseal(self: Owner, holding: Holding) -> None:
        if holding.state == "asking":
            holding.old = None
            self.learn(holding)

    patch.setattr(Owner, "_reseal", reseal)


def what_is_on_its_way_when_sealed_counts(patch: pytest.MonkeyPatch) -> None:
    def sealed(self: Rounds, holding: Holding) -> None:
        for round_ in list(self._rounds.values()):
            if round_.drop(holding.unit):
                self._look(round_)

    patch.setattr(Rounds, "sealed", sealed)


def keys_are_kept_when_one_becomes_a_replica_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Replica, "_forget_others", lambda _: None)


def a_seal_is_forgotten_at_restart(patch: pytest.MonkeyPatch) -> None:
    honest = Keeper.__init__

    def begin(self: Keeper, seat: Any, remains: Any, taken: Any) -> None:
        remains.sealed = {}
        honest(self, seat, remains, taken)

    patch.setattr(Keeper, "__init__", begin)


# Views


def the_next_view_comes_before_all_has_moved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Roll, "complete", True)


def a_view_is_skipped(patch: pytest.MonkeyPatch) -> None:
    def take(self: Replica, views: list[View]) -> None:
        if views and views[-1].number > self.seat.number:
            self._adopt(views[-1])

    patch.setattr(Replica, "_take_views", take)


def a_vote_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    honest = Keeper.__init__

    def begin(self: Keeper, seat: Any, remains: Any, taken: Any) -> None:
        remains.vote = None
        honest(self, seat, remains, taken)

    patch.setattr(Keeper, "__init__", begin)


def the_proposer_s_own_view_is_decided(patch: pytest.MonkeyPatch) -> None:
    honest = Decrees.pledged

    def pledged(self: Decrees, voter: Voter, pledged: say.Pledged) -> None:
        honest(self, voter, say.Pledged(pledged.number, pledged.ballot, None, None))

    patch.setattr(Decrees, "pledged", pledged)


# Deletions


def purged_when_some_lack_it(patch: pytest.MonkeyPatch) -> None:
    def whole(self: Holding) -> bool:
        return self.old is None and self.new.decided(self.level)

    patch.setattr(Holding, "whole", property(whole))


def purged_when_it_was_level_once(patch: pytest.MonkeyPatch) -> None:
    """Replicas are not compared anew under the renewed tenure."""
    honest = Owner._reopen

    def reopen(self: Owner, holding: Holding) -> None:
        holding.level_again = False
        honest(self, holding)

    patch.setattr(Owner, "_reopen", reopen)


def purged_in_its_own_tenure(patch: pytest.MonkeyPatch) -> None:
    def tick(self: Sexton) -> None:
        for holding in list(self._owner.holdings.values()):
            if holding.state == "open" and holding.whole:
                self._purge(holding)

    def purge(self: Sexton, holding: Holding) -> None:
        for key, grave in self._seat.table.graves[holding.unit].items():
            record = (slot_of(key), key, grave.sequence, NEVER, None)
            groups = [Group(grave.ballot, [record])]
            for voter in holding.new.voters:
                asked = say.Purge(holding.ballot, holding.unit, groups)
                self._seat.say(voter, asked)

    patch.setattr(Sexton, "tick", tick)
    patch.setattr(Sexton, "_purge", purge)


def an_end_is_told_and_not_written_down(patch: pytest.MonkeyPatch) -> None:
    honest = Table.find

    def find(self: Table, key: bytes) -> Any:
        found = self.held(key)
        ends = getattr(found, "deadline_ms", 0)
        if 0 < ends <= self.now_ms:
            self.read(slot_of(key) >> UNIT_BITS)
            return None
        return honest(self, key)

    patch.setattr(Table, "find", find)


ONE, MOVING, TWO, _ = hold.PEERS_PROPERTIES
RIVALS, CROWDS, _, _, _, VIEWS = weather.PEERS_WEATHER

# Each fault with the properties that must find it.
MOVES_PLANTS: list[tuple[Plant, list[Property]]] = [
    (learned_from_who_has_not_promised, [ONE]),
    (any_version_is_taken_for_the_highest, [TWO]),
    (what_few_hold_is_settled_as_it_was, [ONE, RIVALS]),
    (one_answer_is_enough_to_learn, [ONE]),
    (learned_from_new_replicas_only, [VIEWS]),
    (the_owner_s_own_keys_are_learned, [ONE, MOVING]),
    (deletions_are_not_compared, [TWO]),
    (old_replicas_are_not_asked, [MOVING, RIVALS]),
    (new_replicas_are_not_asked, [ONE]),
    (sealed_before_it_is_level, [MOVING]),
    (one_seal_is_enough, [VIEWS]),
    (a_seal_told_of_is_not_written_again, [VIEWS]),
    (what_is_on_its_way_when_sealed_counts, [MOVING]),
    (keys_are_kept_when_one_becomes_a_replica_again, [VIEWS]),
    (a_seal_is_forgotten_at_restart, [ONE]),
    (the_next_view_comes_before_all_has_moved, [MOVING]),
    (a_view_is_skipped, [VIEWS]),
    (a_vote_is_forgotten, [VIEWS]),
    (the_proposer_s_own_view_is_decided, [VIEWS]),
    (purged_when_some_lack_it, [MOVING, TWO]),
    (purged_when_it_was_level_once, [ONE, RIVALS]),
    (purged_in_its_own_tenure, [ONE]),
    (an_end_is_told_and_not_written_down, [RIVALS]),
]
