"""The checker against histories known to be good or bad, and against slow judges."""

import math
from collections.abc import Callable, Hashable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shoal.sim.checker import Linearizable, TooHard, Violation, check
from shoal.sim.history import AskedT, Operation, Outcome
from shoal.sim.models import (
    Add,
    Counter,
    CounterAsked,
    Model,
    Read,
    Register,
    RegisterAsked,
    StateT,
    Write,
)
from tests.unit.drawings import BAD, BAD_COUNTS, GOOD, GOOD_COUNTS, drawn
from tests.unit.histories import (
    answered_at_random,
    asked_at_random,
    assert_explains,
    explicable,
    first_inexplicable,
    played,
)

# Known verdicts

DRAWN = [
    (name, model, picture)
    for model, pictures in (
        (Register(), GOOD | BAD),
        (Counter(), GOOD_COUNTS | BAD_COUNTS),
    )
    for name, picture in pictures.items()
]


@pytest.mark.parametrize(
    ("name", "model", "picture"), DRAWN, ids=[n for n, *_ in DRAWN]
)
def test_drawings(name: str, model: Model[Any, Any], picture: str) -> None:
    operations, blamed = drawn(picture)
    verdict = check(operations, model)
    if isinstance(verdict, Linearizable):
        assert not blamed, "it was accepted"
        assert_explains(verdict.orders["key"], operations, model)
    else:
        assert [verdict.culprit] == blamed, verdict
        assert_explains(verdict.order, [], model)


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 20
    assert len(GOOD) >= 10


# Properties


Exchange = Callable[[Random, int, int], tuple[Any, Hashable]]


def of_a_register(rng: Random, number: int, values: int) -> tuple[Any, Hashable]:
    asked = asked_at_random(rng, number, values)
    return asked, answered_at_random(rng, asked, values)


def of_a_counter(rng: Random, number: int, values: int) -> tuple[Any, Hashable]:
    asked = rng.choice((Read(), Add(1), Add(-1), Add(values)))
    return asked, rng.choice((None if isinstance(asked, Add) else 0, 1, 2, 3))


@st.composite
def small_histories(draw: st.DrawFn, exchange: Exchange) -> list[Operation[Any]]:
    """Anything at all, of up to seven operations; many at the same instants."""
    rng = Random(draw(st.integers(0, 2**64)))
    values, unknown = draw(st.integers(1, 3)), draw(st.sampled_from([0.1, 0.5]))
    operations: list[Operation[Any]] = []
    for number in range(draw(st.integers(0, 7))):
        asked, answered = exchange(rng, number, values)
        called, known = rng.randrange(8), rng.random() >= unknown
        operations.append(
            Operation(
                client=number,
                key="key",
                asked=asked,
                called=called,
                answered=answered if known else Outcome.UNKNOWN,
                returned=called + rng.choice([0, 1, 2, 5]) if known else math.inf,
            )
        )
    return operations


def assert_judged_rightly(
    operations: list[Operation[AskedT]], model: Model[StateT, AskedT]
) -> bool:
    """Compare with the slow judge, and tell the verdict."""
    verdict = check(operations, model)
    assert bool(verdict) == explicable(operations, model), verdict
    if isinstance(verdict, Violation):
        assert verdict.culprit.returned == first_inexplicable(operations, model)
        assert_explains(verdict.order, [], model)
        return False
    for order in verdict.orders.values():
        assert_explains(order, operations, model)
    return True


@settings(max_examples=1500, deadline=None)
@given(small_histories(of_a_register))
def test_of_registers_the_verdict_is_that_of_trying_every_order(
    operations: list[Operation[RegisterAsked]],
) -> None:
    assert_judged_rightly(operations, Register())


@settings(max_examples=500, deadline=None)
@given(small_histories(of_a_counter))
def test_of_counters_the_verdict_is_that_of_trying_every_order(
    operations: list[Operation[CounterAsked]],
) -> None:
    assert_judged_rightly(operations, Counter())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**64), st.sampled_from([2, None]), st.booleans())
def test_what_a_true_register_answers_is_accepted_until_changed(
    seed: int, values: int | None, changed: bool
) -> None:
    rng = Random(seed)
    operations = played(rng, 6, clients=3, values=values, unknown=0.3)
    if changed:
        operations = with_another_answer(operations, rng)
    assert assert_judged_rightly(operations, Register()) or changed


def with_another_answer(
    operations: list[Operation[RegisterAsked]], rng: Random
) -> list[Operation[RegisterAsked]]:
    """One read, swap or delete answered as another was; nothing, if there is none."""
    told = [
        number
        for number, each in enumerate(operations)
        if not each.unknown and not isinstance(each.asked, Write)
    ]
    if not told:
        return operations
    number = rng.choice(told)
    each, changed = operations[number], list(operations)
    others: list[object] = [not each.answered]
    if isinstance(each.asked, Read):
        others = [None] + [
            other.asked.value
            for other in operations
            if isinstance(other.asked, Write) and other.asked.value != each.answered
        ]
    changed[number] = replace(each, answered=rng.choice(others))
    return changed


@pytest.mark.parametrize("seed", range(10))
def test_long_histories_of_true_registers_are_accepted(seed: int) -> None:
    operations = played(Random(seed), 600, clients=8, keys=3)
    verdict = check(operations, Register())
    assert isinstance(verdict, Linearizable), verdict
    for key, order in verdict.orders.items():
        mine = [each for each in operations if each.key == key]
        assert_explains(order, mine, Register())


def test_most_long_histories_with_one_answer_changed_are_rejected() -> None:
    verdicts = []
    for seed in range(20):
        rng = Random(seed)
        operations = played(rng, 300, clients=5)
        verdicts.append(check(with_another_answer(operations, rng), Register()))
    assert sum(isinstance(each, Violation) for each in verdicts) >= 15


# Size


def test_ten_thousand_operations_with_a_tenth_unknown() -> None:
    operations = played(Random(1), 10_000, clients=20, keys=3)
    assert sum(each.unknown for each in operations) > 900
    assert check(operations, Register())
    reads = [
        number
        for number, each in enumerate(operations)
        if isinstance(each.asked, Read) and not each.unknown and each.answered
    ]
    late, early = reads[-50], reads[-500]
    operations[late] = replace(operations[late], answered=operations[early].answered)
    verdict = check(operations, Register())
    assert isinstance(verdict, Violation)
    assert verdict.culprit == operations[late]


def test_what_is_too_hard_is_said_to_be() -> None:
    operations: list[Operation[CounterAsked]] = [
        Operation(client=n, key="key", asked=Add(2**n), called=0) for n in range(40)
    ]
    read = Operation(
        client="reader", key="key", asked=Read(), called=1, answered=-1, returned=2
    )
    with pytest.raises(TooHard, match="40000 trials; give more patience"):
        check([*operations, read], Counter(), patience=40_000)


# Verdicts


def test_keys_are_judged_alone() -> None:
    good, _ = drawn("a [write 1] [read 1]")
    bad, _ = drawn("a [write 1] [read 2!")
    operations = [replace(each, key="good") for each in good] + bad
    verdict = check(operations, Register())
    assert isinstance(verdict, Violation)
    assert verdict.key == "key"


def test_nothing_is_linearizable() -> None:
    assert check([], Register()) == Linearizable({})


def test_an_explanation_can_be_read() -> None:
    operations, _ = drawn(
        """
        a  [write 1] [write 2 ?
        b               [read 2]   [write 3   ]
        c                        [read 1!
        """
    )
    verdict = check(operations, Register())
    assert isinstance(verdict, Violation)
    assert str(verdict).splitlines() == [
        "key 'key': no order explains this answer:",
        "  c: Read() -> 1 [25, 33]",
        "3 operations can be placed before it, lastly:",
        "  a: Write(value=1) -> None [3, 12]",
        "  a: Write(value=2) -> UNKNOWN [13, inf]",
        "  b: Read() -> 2 [16, 24]",
        "After them, in this order or another, the state is: (2,), (3,)",
        "Called before that answer, and not placed either:",
        "  b: Write(value=3) -> None [27, 39]",
        "  0 of unknown outcome",
    ]


def test_a_refused_operation_never_happened() -> None:
    operations, _ = drawn(
        """
        a  [write 1] [write 2]
        b                      [read 1]
        """
    )
    assert not check(operations, Register())
    operations[1] = replace(operations[1], answered=Outcome.REFUSED)
    assert check(operations, Register())
