"""Histories played by true registers, and slow judges of any."""

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from random import Random

from shoal.sim.history import AskedT, Operation, Outcome
from shoal.sim.models import (
    Delete,
    Model,
    Read,
    Register,
    RegisterAsked,
    StateT,
    Swap,
    Write,
)

# Slow judges


def explicable(
    operations: Sequence[Operation[AskedT]],
    model: Model[StateT, AskedT],
    until: float = math.inf,
) -> bool:
    """Try every order of every choice, up to the returns of one moment."""

    def go_on(state: StateT, left: Sequence[Operation[AskedT]]) -> bool:
        due = [each.returned for each in left if not each.unknown]
        if min(due, default=math.inf) > until or not due:
            return True
        for each in left:
            if each.called <= min(*due, until):
                after = model.step(state, each.asked, each.told)
                rest = [other for other in left if other is not each]
                if after is not None and go_on(after, rest):
                    return True
        return False

    return go_on(model.start, operations)


def first_inexplicable(
    operations: Sequence[Operation[AskedT]], model: Model[StateT, AskedT]
) -> float:
    """The first return that no order explains."""
    returns = sorted(each.returned for each in operations if not each.unknown)
    return next(each for each in returns if not explicable(operations, model, each))


def assert_explains(
    order: Sequence[Operation[AskedT]],
    operations: Iterable[Operation[AskedT]],
    model: Model[StateT, AskedT],
) -> None:
    """Every answered operation once, none before one that had returned, as modelled."""
    state = model.start
    latest = -math.inf
    for each in order:
        assert each.unknown or latest <= each.returned, f"{each} comes too late"
        latest = max(latest, each.called)
        after = model.step(state, each.asked, each.told)
        assert after is not None, f"{each} is impossible after {state}"
        state = after
    placed = {id(each) for each in order}
    assert len(placed) == len(order)
    for each in operations:
        assert each.unknown or id(each) in placed, f"{each} is missing"


# Play


def played(
    rng: Random,
    size: int,
    *,
    clients: int,
    keys: int = 1,
    values: int | None = None,
    unknown: float = 0.1,
) -> list[Operation[RegisterAsked]]:
    """What clients of true atomic registers were told; every value once if not few."""
    register = Register()
    states = [register.start] * keys
    operations = []
    visits = sorted(
        visit
        for client in range(clients)
        for visit in _visits(rng, client, size // clients, unknown)
    )
    for number, (happens, called, returned, client) in enumerate(visits):
        key = rng.randrange(keys)
        asked = asked_at_random(rng, number, values, *states[key])
        answered, after = next(
            (answer, after)
            for answer in (*states[key], True, False)
            if (after := register.step(states[key], asked, answer)) is not None
        )
        if happens < math.inf:
            states[key] = after
        operations.append(
            Operation(
                client=client,
                key=key,
                asked=asked,
                called=called,
                answered=answered if returned < math.inf else Outcome.UNKNOWN,
                returned=returned,
            )
        )
    return operations


def _visits(
    rng: Random, client: int, size: int, unknown: float
) -> Iterator[tuple[float, float, float, int]]:
    """When a client's operations happen, are called and return.

    Of those that never return one in three never happens, and one in three when
    everybody has long forgotten it.
    """
    now = rng.random()
    for _ in range(size):
        called, now = now, now + rng.expovariate(1.0)
        happens = rng.uniform(called, now)
        if rng.random() < unknown:
            late = called + rng.expovariate(5.0 / size)
            yield rng.choice((happens, late, math.inf)), called, math.inf, client
        else:
            yield happens, called, now, client
        now += rng.expovariate(1.0)


def asked_at_random(
    rng: Random, number: int, values: int | None, present: Hashable = None
) -> RegisterAsked:
    """Something to ask; half of the swaps expect what is there at that moment."""
    value = rng.randrange(values) if values else number
    expected = rng.choice([present, rng.randrange(values or number + 1)])
    swap = Swap(expected, value)
    choices: list[RegisterAsked] = [Read(), Write(value), swap, Delete()]
    return rng.choices(choices, [4, 3, 2, 1])[0]


def answered_at_random(rng: Random, asked: RegisterAsked, values: int) -> Hashable:
    """An answer of the right sort."""
    answers: list[Hashable] = [None]
    match asked:
        case Read():
            answers = [None, *range(values)]
        case Swap():
            answers = [False, True]
        case Delete():
            answers = [None, False, True]
    return rng.choice(answers)
