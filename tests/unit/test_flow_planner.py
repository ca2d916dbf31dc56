"""Plans: against NumPy's own answer, and what they promise."""

from random import Random

import numpy as np
import pytest

from shoal.flow.expressions import Expression
from shoal.flow.grammar import parse, show
from shoal.flow.planner import plan
from tests.unit.expressions import (
    ASKED,
    Executor,
    Oracle,
    Senseless,
    World,
    random_array,
    random_expression,
    world_of,
)

EXPRESSIONS = 500


def sensible(seed: int) -> tuple[Expression, World] | None:
    """A random expression over random datasets, if NumPy has an answer."""
    rng = Random(seed)
    shape = (rng.choice([0, 1, 2, 7, 40]), *rng.choice([(), (), (3,), (2, 2)]))
    arrays = {name: random_array(rng, shape) for name in "abc"}
    expression = random_expression(rng, list(arrays), rng.randint(1, 4))
    try:
        value = Oracle(arrays, None).answer(expression)
    except Senseless:
        return None
    single = np.ndim(value) == 0 and np.asarray(value).dtype.kind == "c"
    return None if single else (expression, world_of(arrays, rng))


@pytest.mark.filterwarnings("ignore")
def test_random_expressions_give_what_numpy_gives() -> None:
    told = 0
    for seed in range(100 * EXPRESSIONS):
        if found := sensible(seed):
            agree(*found, f"seed {seed}: {show(found[0])}")
            told += 1
        if told == EXPRESSIONS:
            return
    raise AssertionError(f"only {told} of the expressions make sense")


def agree(expression: Expression, world: World, label: str) -> None:
    """Planned and carried out, the expression gives what NumPy gives."""
    read = parse(show(expression))
    planned = plan(read, world.records, world.present, ASKED, rng=Random(0))
    executor = Executor(planned, world)
    result = executor.result()
    assert sum(executor.moved.values()) == planned.moves_bytes, label
    numbers = [
        (reduction.operation, executor.numbers[reduction.number])
        for reduction in planned.reductions
    ]
    wanted = Oracle(world.arrays, numbers).answer(expression)
    np.testing.assert_array_equal(result, wanted, label)
    kind = np.dtype(planned.form.kind).newbyteorder("=")
    assert kind == np.asarray(wanted).dtype.newbyteorder("="), label
