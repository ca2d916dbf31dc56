"""A small share of the campaign."""

import pytest

from tests.conformance.fuzz import MAX_GROWTH_BYTES, attack
from tests.conformance.hosts import LOOPS, Loop, run


@pytest.mark.parametrize("loop", LOOPS)
def test_hostile_bytes_neither_crash_nor_grow_a_peer(loop: Loop) -> None:
    async def main() -> None:
        assert await attack(1500, seed=7) < MAX_GROWTH_BYTES

    run(loop, main(), 60)
