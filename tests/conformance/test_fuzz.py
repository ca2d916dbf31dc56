"""A small share of the campaign."""

import pytest

from tests.conformance import fuzz_talks
from tests.conformance.fuzz import MAX_GROWTH_BYTES, attack
from tests.conformance.fuzz_corpora import CORPORA
from tests.conformance.hosts import LOOPS, Loop, run


@pytest.mark.parametrize("loop", LOOPS)
def test_hostile_bytes_neither_crash_nor_grow_a_peer(loop: Loop) -> None:
    async def main() -> None:
        assert await attack(1500, seed=7) < MAX_GROWTH_BYTES

    run(loop, main(), 60)


@pytest.mark.parametrize("corpus", ["", *CORPORA])
def test_hostile_bytes_end_no_talk(corpus: str) -> None:
    grown = fuzz_talks.attack(5_000 if not corpus else 1_000, seed=0, only=corpus)
    assert grown < fuzz_talks.MAX_GROWTH_BYTES
