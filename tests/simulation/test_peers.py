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

SHARE_S = 4.0

# By then a planted fault must have been found.
PATIENCE_SEEDS = 400

# What is found seldom is looked for where it was seen; by name, of its plant.
SEEN_AT = {
    "answered_before_the_sync": 14,
    "a_promise_a_full_disk_refused_is_not_written_again": 52,
    "accepted_below_the_promise": 72,
    "a_replica_is_counted_twice": 42,
    "a_grant_of_an_earlier_tenure_counts": 10,
    "a_change_is_given_up": 33,
    "a_lost_unit_s_changes_count": 10,
    "what_few_hold_is_settled_as_it_was": 22,
    "learned_from_new_replicas_only": 8,
    "one_seal_is_enough": 224,
    "what_is_on_its_way_when_sealed_counts": 21,
    "a_view_is_skipped": 26,
    "the_proposer_s_own_view_is_decided": 45,
    "purged_when_it_was_level_once": 56,
    "a_promise_is_counted_twice": 4,
    "an_answer_of_an_earlier_start_counts": 459,
    "read_without_asking": 39,
    "confirmed_before_it_was_asked": 141,
    "what_waits_for_what_waits_is_not_asked": 168,
    "a_change_others_may_hold_is_called_not_done": 7,
    "what_is_on_its_way_is_not_said_again": 20,
    "told_in_another_tenure_than_done": 1152,
    "a_lost_log_leaves_the_same_voter": 18,
    "what_has_a_majority_waits_for_what_has_none": 12,
    "the_owner_s_own_keys_are_learned": 12,
    "old_replicas_are_not_asked": 146,
    "sealed_before_it_is_level": 119,
    "keys_are_kept_when_one_becomes_a_replica_again": 11,
    "the_next_view_comes_before_all_has_moved": 25,
    "purged_when_some_lack_it": 307,
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
