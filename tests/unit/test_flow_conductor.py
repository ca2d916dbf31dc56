"""A job's plan led to its end, whatever peers and steps do meanwhile."""

from random import Random

import pytest

from shoal.core.machine import PeerId
from shoal.flow.language.expressions import Input
from shoal.flow.messages import Form, Given, Plan, Product, Reduction, Rows, Step, Value
from shoal.flow.protocol import Carry, Conclude, Conductor, Fail, FlowEffect

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")
ROW = Form("<i8")


def step(
    number: int,
    executors: tuple[PeerId, ...],
    *given: Given,
    reduction: int | None = None,
) -> Step:
    return Step(number, Input(0), given, ROW, 1, executors, reduction, f"part {number}")


def total(_: Reduction, partials: list[bytes]) -> int:
    return sum(map(int, partials))


MEAN = Plan(
    steps=(
        step(0, (A, B), Rows("x", 0, 1), reduction=0),
        step(1, (B,), Rows("y", 0, 1), reduction=0),
    ),
    reductions=(Reduction(0, "sum", (0, 1), ROW),),
    collector=A,
    form=ROW,
    result=Input(0),
)

# Use case 2: one step a dataset, and their sum at the collector.
SUM = Plan(
    steps=(
        step(0, (A, C), Rows("x", 0, 1)),
        step(1, (B, C), Rows("y", 0, 1)),
        step(2, (A, B, C), Product(0, 0, 1), Product(1, 0, 1)),
    ),
    reductions=(),
    collector=A,
    form=ROW,
    pieces=(2,),
)

# A deviation: rows less their mean.
NESTED = Plan(
    steps=(
        step(0, (A, B), Rows("x", 0, 1), reduction=0),
        step(1, (A, B), Rows("x", 0, 1), Value(0)),
    ),
    reductions=(Reduction(0, "mean", (0,), ROW),),
    collector=A,
    form=ROW,
    pieces=(1,),
)


def conductor(plan: Plan, *gone: PeerId) -> Conductor:
    return Conductor(plan, total, lambda peer: peer not in gone)


def carried(effects: list[FlowEffect]) -> dict[int, PeerId]:
    return {e.step: e.executor for e in effects if isinstance(e, Carry)}


def test_all_that_can_begin_begins_at_once() -> None:
    assert carried(conductor(MEAN).begin()) == {0: A, 1: B}
    assert carried(conductor(SUM).begin()) == {0: A, 1: B}
    assert carried(conductor(NESTED).begin()) == {0: A}


def test_partials_are_combined_in_their_order() -> None:
    one = conductor(MEAN)
    one.begin()
    assert one.done(1, 1, b"2") == []
    assert one.done(0, 1, b"3") == [Conclude({0: 5}, {})]


def test_a_later_step_is_given_what_came_before() -> None:
    one = conductor(SUM)
    one.begin()
    one.done(0, 1, b"")
    assert one.done(1, 1, b"") == [Carry(2, A, 1, {0: A, 1: B}, {})]
    assert one.done(2, 1, b"") == [Conclude({}, {2: A})]
    two = conductor(NESTED)
    two.begin()
    assert two.done(0, 1, b"7") == [Carry(1, A, 1, {}, {0: 7})]


def test_who_is_not_here_is_not_asked() -> None:
    assert carried(conductor(MEAN, A).begin()) == {0: B, 1: B}


def test_without_any_holder_it_fails_by_name() -> None:
    [effect] = conductor(MEAN, B).begin()
    assert isinstance(effect, Fail)
    assert "part 1" in effect.reason
    assert "b" in effect.reason


def test_the_next_holder_is_tried() -> None:
    one = conductor(MEAN)
    one.begin()
    assert carried(one.failed(0, 1, "no")) == {0: B}
    assert carried(one.failed(0, 2, "no")) == {0: A}  # A worker may have died.
    assert carried(one.failed(0, 3, "no")) == {0: B}
    [effect] = one.failed(0, 4, "never")
    assert effect == Fail("part 0: no")


def test_what_a_lost_peer_had_made_is_made_again() -> None:
    gone: list[PeerId] = []
    one = Conductor(SUM, total, lambda peer: peer not in gone)
    one.begin()
    one.done(0, 1, b"")
    gone.append(A)
    assert carried(one.lost(A)) == {0: C}
    one.done(1, 1, b"")
    assert one.done(0, 3, b"") == [Carry(2, B, 1, {0: C, 1: B}, {})]


def test_what_nobody_needs_any_more_is_not_made_again() -> None:
    one = conductor(NESTED)
    one.begin()
    one.done(0, 1, b"1")
    effects = one.lost(A)
    assert set(carried(effects)) == {1}


def test_who_cannot_have_a_product_has_it_made_again() -> None:
    one = conductor(SUM)
    one.begin()
    one.done(0, 1, b"")
    one.done(1, 1, b"")
    assert carried(one.failed(2, 1, "it does not come", blame=1)) == {1: C}


def test_what_comes_late_counts_for_nothing() -> None:
    one = conductor(MEAN)
    one.begin()
    one.failed(0, 1, "no")
    assert one.done(0, 1, b"9") == []
    assert one.failed(0, 1, "no") == []
    one.done(1, 1, b"1")
    assert one.done(0, 2, b"2") == [Conclude({0: 3}, {})]
    assert one.done(0, 2, b"2") == []
    assert one.lost(A) == []


@pytest.mark.parametrize("seed", range(300))
def test_it_ends_once_and_right_among_failures(seed: int) -> None:
    rng = Random(seed)
    plan = rng.choice([MEAN, SUM, NESTED])
    gone: list[PeerId] = []
    one = Conductor(plan, total, lambda peer: peer not in gone)
    under_way, ends = list[Carry](), list[FlowEffect]()

    def take(effects: list[FlowEffect]) -> None:
        for effect in effects:
            (under_way if isinstance(effect, Carry) else ends).append(effect)  # type: ignore[arg-type]

    take(one.begin())
    for _ in range(200):
        if ends:
            break
        if rng.random() < 0.05 and (alive := [p for p in (A, B, C) if p not in gone]):
            gone.append(rng.choice(alive))
            take(one.lost(gone[-1]))
        elif gone and rng.random() < 0.1:
            gone.remove(rng.choice(gone))
        elif under_way:
            carry = under_way.pop(rng.randrange(len(under_way)))
            if carry.executor in gone:
                take(one.failed(carry.step, carry.attempt, "it is gone"))
            elif rng.random() < 0.7:
                take(one.done(carry.step, carry.attempt, b"1"))
            else:
                blame = next(iter(carry.sources), None)
                take(one.failed(carry.step, carry.attempt, "bad luck", blame=blame))
        else:
            raise AssertionError("nothing is under way, and it has not ended")
    assert len(ends) == 1
    if isinstance(ends[0], Conclude):
        assert ends[0].values == {r.number: len(r.steps) for r in plan.reductions}
        assert set(ends[0].holders) == set(plan.pieces)
    for carry in under_way:  # What comes after the end changes nothing.
        assert one.done(carry.step, carry.attempt, b"1") == []
