"""Faults to plant in records, each of which the tests must find."""

import pytest

from shoal.table.records import board, protocol, tenures
from shoal.table.records.board import Board
from shoal.table.records.desk import Desk
from shoal.table.records.exchange import Exchange
from shoal.table.records.messages import Entry
from shoal.table.records.protocol import Archive
from shoal.table.records.tenures import Tenure
from tests.simulation import records_properties as hold
from tests.simulation.plants import Plant
from tests.simulation.properties import Property
from tests.simulation.records_claims import a_claim_is_ones


def answered_before_it_is_safe(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Desk, "_fate", lambda *_: "")


def a_lost_batch_counts_as_safe(patch: pytest.MonkeyPatch) -> None:
    honest = Desk._fate

    def fate(self: Desk, ticket: int) -> str | None:
        return None if honest(self, ticket) is None else ""

    patch.setattr(Desk, "_fate", fate)


def a_repeated_request_is_taken_for_another(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Entry, "made_by", lambda *_: None)
    patch.setattr(Desk, "_remember", lambda *_: None)


def an_older_version_overrides(patch: pytest.MonkeyPatch) -> None:
    def lacks(self: Board, kind: str, id_: str, version: int) -> bool:
        held = self.find(kind, id_)
        return held is None or held.version != version

    patch.setattr(Board, "lacks", lacks)


def boards_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(protocol, "COMPARE_S", 1e9)
    patch.setattr(Archive, "_compare_soon", lambda *_: None)


def what_was_removed_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(board.Board.__init__, "__defaults__", (0, 100))


def what_was_decided_before_is_not_looked_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Desk, "_look_at_units", lambda self: self._reading.clear())


def versions_begin_anew_with_each_owner(patch: pytest.MonkeyPatch) -> None:
    honest = Tenure.__init__

    def begin(self: Tenure, now: float, stored: object) -> None:
        honest(self, now, [])

    patch.setattr(Tenure, "__init__", begin)


def nothing_is_pulled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Exchange, "listed", lambda *_: None)


def a_new_owner_waits_for_no_holder(patch: pytest.MonkeyPatch) -> None:
    honest = Tenure.left_s

    def left_s(self: Tenure, entry: Entry, now: float) -> float:
        heard = f"{entry.kind}/{entry.id}" in self._heard
        return honest(self, entry, now) if heard else 0.0

    patch.setattr(Tenure, "left_s", left_s)


def a_claim_ends_before_its_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tenures, "DRIFT", 0.9)


def a_renewal_is_not_minded(patch: pytest.MonkeyPatch) -> None:
    honest = Tenure.hear

    def hear(self: Tenure, entry: Entry, now: float) -> None:
        if f"{entry.kind}/{entry.id}" not in self._heard:
            honest(self, entry, now)

    patch.setattr(Tenure, "hear", hear)


ONE, FULL = hold.RECORDS_PROPERTIES
CLAIM = a_claim_is_ones

# Each fault with the properties that must find it.
RECORDS_PLANTS: list[tuple[Plant, list[Property]]] = [
    (answered_before_it_is_safe, [ONE]),
    (a_lost_batch_counts_as_safe, [ONE]),
    (a_repeated_request_is_taken_for_another, [ONE]),
    (an_older_version_overrides, [ONE]),
    (boards_are_not_compared, [ONE]),
    (what_was_removed_is_forgotten, [ONE]),
    (what_was_decided_before_is_not_looked_for, [ONE]),
    (versions_begin_anew_with_each_owner, [ONE]),
    (nothing_is_pulled, [ONE]),
    (a_new_owner_waits_for_no_holder, [CLAIM]),
    (a_claim_ends_before_its_time, [CLAIM]),
    (a_renewal_is_not_minded, [CLAIM]),
]
