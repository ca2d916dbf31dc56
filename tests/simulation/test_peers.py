"""A table on many peers, on a hostile network and hostile disks, seed after seed.

A failing seed is the bug report.
"""

import pytest

from tests.simulation.peers_moves_plants import MOVES_PLANTS
from tests.simulation.peers_plants import PEERS_PLANTS
from tests.simulation.peers_properties import PEERS_PROPERTIES
from tests.simulation.peers_weather import PEERS_WEATHER
from tests.simulation.plants import Plant
from tests.simulation.playing import find, hold, named
from tests.simulation.properties import Property

SHARE_S = 5.0

# By then a planted fault must have been found.
PATIENCE_SEEDS = 400

# What is found seldom is looked for where it was seen; by name, of its plant.
SEEN_AT = {
    "answered_before_the_sync": 14,
    "a_replica_is_counted_twice": 33,
    "absence_is_told_without_asking": 45,
    "a_change_is_given_up": 213,
    "an_answer_of_an_earlier_start_counts": 250,
    "told_in_another_tenure_than_done": 1150,
    "confirmed_before_it_was_asked": 1020,
    "renewed_without_asking_who_came_between": 66,
    "what_waits_for_what_waits_is_not_asked": 22,
    "what_is_on_its_way_is_not_said_again": 20,
    "what_few_hold_is_settled_as_it_was": 6,
    "the_next_view_comes_before_all_has_moved": 56,
    "the_proposer_s_own_view_is_decided": 50,
    "one_seal_is_enough": 47,
    "sealed_before_it_is_level": 11,
    "keys_are_kept_when_one_becomes_a_replica_again": 11,
}


@pytest.mark.parametrize("holds", PEERS_PROPERTIES + PEERS_WEATHER, ids=named)
def test_holds(holds: Property) -> None:
    hold(holds, SHARE_S)


@pytest.mark.parametrize(("plant", "finders"), PEERS_PLANTS + MOVES_PLANTS, ids=named)
def test_a_planted_fault_is_found(
    plant: Plant, finders: list[Property], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = SEEN_AT.get(named(plant), 0)
    find(plant, finders, monkeypatch, PATIENCE_SEEDS, first)
