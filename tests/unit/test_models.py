"""What models say of their operations beforehand, and a model of somebody's own."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shoal.sim.checker import check
from shoal.sim.history import Outcome
from shoal.sim.models import Add, Counter, CounterAsked, Model, Read, Register, Write
from tests.unit.drawings import drawn
from tests.unit.histories import answered_at_random, asked_at_random


@given(st.integers(0, 2**64))
def test_hints_about_registers_are_true(seed: int) -> None:
    rng = Random(seed)
    asked = asked_at_random(rng, 0, 3)
    answered = rng.choice([answered_at_random(rng, asked, 3), Outcome.UNKNOWN])
    assert_hints_hold(Register(), asked, answered, [(None,), (0,), (1,), (2,)])


@given(
    st.sampled_from([Read(), Add(1), Add(2), Add(0)]),
    st.sampled_from([None, 0, 1, 2, 3, Outcome.UNKNOWN]),
)
def test_hints_about_counters_are_true(asked: CounterAsked, answered: object) -> None:
    assert_hints_hold(Counter(), asked, answered, list(range(-3, 5)))


def assert_hints_hold(
    model: Model[Any, Any], asked: object, answered: object, states: list[object]
) -> None:
    hint = model.hint(asked, answered)
    for state in states:
        after = model.step(state, asked, answered)
        assert after is not None or answered is not Outcome.UNKNOWN
        if hint.needs not in (None, state):
            assert after is None or (answered is Outcome.UNKNOWN and after == state)
        if hint.leaves is not None:
            assert after in (None, state, hint.leaves)
        if hint.blind:
            assert after == hint.leaves
        if hint.looks:
            assert after in (None, state)


class Queue(Model[tuple[object, ...], Write | Read]):
    """Somebody's own model: first in, first out."""

    start: tuple[object, ...] = ()

    def step(
        self, state: tuple[object, ...], asked: Write | Read, answered: object
    ) -> tuple[object, ...] | None:
        if isinstance(asked, Write):
            return (*state, asked.value)
        if not state or answered not in (state[0], Outcome.UNKNOWN):
            return state if answered in (None, Outcome.UNKNOWN) else None
        return state[1:]


def test_a_model_needs_no_more_than_a_step() -> None:
    good, _ = drawn(
        """
        a  [write 1]   [read 2]
        b  [write 2]   [read 1]  [read -]
        """
    )
    bad, _ = drawn(
        """
        a  [write 1] [write 2] [read 2]
        """
    )
    assert check(good, Queue())
    assert not check(bad, Queue())
