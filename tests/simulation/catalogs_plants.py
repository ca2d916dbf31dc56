"""Faults to plant in sharing catalogs, each of which the tests must find."""

from typing import Any

import pytest

from shoal.catalog.history import History
from shoal.catalog.outline import NOWHERE, Outline
from shoal.catalog.protocol import Catalog
from shoal.catalog.spreading import Spreading
from tests.simulation.catalogs_properties import (
    a_copy_ends_with_the_record,
    all_answer_soon,
    catalogs_answer_the_same,
    the_last_word_holds,
    who_was_away_long_brings_nothing_back,
)
from tests.simulation.plants import Plant
from tests.simulation.properties import Property


def what_ended_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Catalog, "remember", lambda *_: None)


def what_ended_is_forgotten_at_a_restart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(History, "ended", lambda *_: {})


def nothing_is_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spreading, "_compared", lambda *_: [])


def the_last_to_come_holds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outline, "rank", lambda *_: NOWHERE)


def only_this_clock_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Catalog, "_stamp", lambda self, key, now: int(now * 1000))


def a_copy_lives_a_whole_life(patch: pytest.MonkeyPatch) -> None:
    honest = Catalog.adopt

    def adopt(self: Catalog, entry: Any, left_s: float, now: float) -> Any:
        return honest(self, entry, entry.lifetime_s, now)

    patch.setattr(Catalog, "adopt", adopt)


def heard_again_is_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spreading, "_learn", lambda *_: [])


def who_is_new_is_not_greeted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Spreading, "_greets", lambda *_: False)


def grace_is_shared_with_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Catalog, "is_elder", lambda *_: False)


def a_copy_of_what_ended_is_not_contradicted(patch: pytest.MonkeyPatch) -> None:
    honest = Outline.lines

    def lines(self: Outline, keys: Any, now: float) -> Any:
        return (line for line in honest(self, keys, now) if not line.ended)

    patch.setattr(Outline, "lines", lines)


# Each fault with the properties that must find it.
CATALOGS_PLANTS: list[tuple[Plant, list[Property]]] = [
    (what_ended_is_forgotten, [catalogs_answer_the_same]),
    (what_ended_is_forgotten_at_a_restart, [catalogs_answer_the_same]),
    (nothing_is_compared, [catalogs_answer_the_same]),
    (the_last_to_come_holds, [catalogs_answer_the_same]),
    (only_this_clock_counts, [the_last_word_holds]),
    (a_copy_lives_a_whole_life, [a_copy_ends_with_the_record]),
    (heard_again_is_not_told, [all_answer_soon]),
    (grace_is_shared_with_everybody, [who_was_away_long_brings_nothing_back]),
    (a_copy_of_what_ended_is_not_contradicted, [catalogs_answer_the_same]),
    (who_is_new_is_not_greeted, [all_answer_soon]),
]
