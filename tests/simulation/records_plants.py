"""Faults to plant in records, each of which the tests must find."""

from collections.abc import Iterable

import pytest

from shoal.core.machine import PeerId
from shoal.table.records import protocol
from shoal.table.records.desk import Desk
from shoal.table.records.messages import Answer, Ask, Entry, Row
from shoal.table.records.protocol import Archive, RecordsEffects
from shoal.table.records.shelf import Shelf
from tests.simulation import records_properties as hold
from tests.simulation.plants import Plant
from tests.simulation.properties import Property


def answered_before_it_is_safe(patch: pytest.MonkeyPatch) -> None:
    honest = Desk.take

    def hasty(self: Desk, asker: PeerId, ask: Ask) -> Answer | None:
        answer = honest(self, asker, ask)
        return answer or self._waiting.pop().answer

    patch.setattr(Desk, "take", hasty)


def a_repeated_request_is_taken_for_another(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Entry, "made_by", lambda *_: None)
    patch.setattr(Desk, "_remember", lambda *_: None)


def an_older_version_overrides(patch: pytest.MonkeyPatch) -> None:
    def learn(self: Shelf, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.put(entry)

    patch.setattr(Shelf, "learn", learn)


def copies_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(protocol, "COMPARE_S", 1e9)


def what_was_removed_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    honest = Shelf.forget_removed

    def forget(self: Shelf) -> None:
        self._max_removed = 0
        honest(self)

    patch.setattr(Shelf, "forget_removed", forget)


def who_names_another_tenure_is_served(patch: pytest.MonkeyPatch) -> None:
    honest = Archive._asked

    def serve(self: Archive, asker: PeerId, ask: Ask, now: float) -> RecordsEffects:
        named = next(iter(self._reigns), ask.tenure)
        return honest(self, asker, Ask(named, ask.request, ask.what), now)

    patch.setattr(Archive, "_asked", serve)


def a_keeper_that_resigns_tells_no_more(patch: pytest.MonkeyPatch) -> None:
    honest = Archive._settle

    def settle(self: Archive, effects: RecordsEffects) -> RecordsEffects:
        if not self.keeping:
            self.shelf.decided.clear()
        return honest(self, effects)

    patch.setattr(Archive, "_settle", settle)


def nothing_is_pulled(patch: pytest.MonkeyPatch) -> None:
    def lacks(_: Shelf, __: Row) -> bool:
        return False

    patch.setattr(Shelf, "lacks", lacks)


ONE, LEVEL, CALM = hold.RECORDS_PROPERTIES

# Each fault with the properties that must find it.
RECORDS_PLANTS: list[tuple[Plant, list[Property]]] = [
    (answered_before_it_is_safe, [ONE]),
    (a_repeated_request_is_taken_for_another, [ONE]),
    (an_older_version_overrides, [LEVEL]),
    (copies_are_not_compared, [LEVEL]),
    (what_was_removed_is_forgotten, [LEVEL]),
    (who_names_another_tenure_is_served, [CALM]),
    (a_keeper_that_resigns_tells_no_more, [CALM]),
    (nothing_is_pulled, [LEVEL]),
]
