"""Plans: against NumPy's own answer, and what they promise."""

from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from shoal.core.machine import PeerId
from shoal.errors import BadExpression, Missing, NotFound
from shoal.flow.arithmetic.reductions import PARTIAL_BYTES
from shoal.flow.language.expressions import Constant, Dataset, Expression, Tagged
from shoal.flow.language.grammar import parse, show
from shoal.flow.messages import DatasetRecord, Plan, Product
from shoal.flow.plans.planner import plan
from tests.unit.expressions import (
    ASKED,
    Array,
    Executor,
    Oracle,
    Senseless,
    World,
    random_array,
    random_expression,
    record_of,
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
    found = plan(read, world.records, world.present, ASKED, rng=Random(0))
    executor = Executor(found, world)
    result = executor.result()
    assert sum(executor.moved.values()) == found.moves_bytes, label
    numbers = [
        (reduction.operation, executor.numbers[reduction.number])
        for reduction in found.reductions
    ]
    wanted = Oracle(world.arrays, numbers).answer(expression)
    np.testing.assert_array_equal(result, wanted, label)
    kind = np.dtype(found.form.kind).newbyteorder("=")
    assert kind == np.asarray(wanted).dtype.newbyteorder("="), label


# What plans promise


def planned(text: str, world: World, **options: Any) -> Plan:
    """The plan of a text, with a fixed seed."""
    return plan(
        parse(text), world.records, world.present, ASKED, rng=Random(0), **options
    )


def lying(**places: str | list[str]) -> World:
    """Datasets of 100 rows: `a_f8="s1 s2"` has one part, a list several alike."""
    arrays: dict[str, Array] = {}
    records: dict[Dataset | Tagged, DatasetRecord] = {}
    peers: list[PeerId] = []
    for name_and_kind, places_of in places.items():
        name, kind = name_and_kind.split("_")
        held = [places_of] if isinstance(places_of, str) else places_of
        holders = [tuple(map(PeerId, each.split())) for each in held]
        arrays[name] = np.arange(100).astype(kind)
        cuts = [100 * index // len(held) for index in range(1, len(held))]
        records[Dataset(name)] = record_of(name, arrays[name], cuts, holders)
        peers += [peer for each in holders for peer in each]
    return World(arrays, records, dict.fromkeys(peers, 0))


def subs(found: Plan) -> list[tuple[str, str]]:
    return [(step.sub, step.executors[0]) for step in found.steps]


def test_use_case_two_is_two_subs_and_a_sum_at_the_larger() -> None:
    world = lying(a_f8="s2", b_i4="s1")
    found = planned("real2bin(a, b)", world)
    assert subs(found) == [("real2bin(a)", "s2"), ("real2bin(b)", "s1"), ("", "s2")]
    assert found.collector == "s2"
    assert found.pieces == (2,)
    assert (found.moves_bytes, found.copying_bytes) == (100, 1200)
    agree(parse("real2bin(a, b)"), world, "use case 2")


def test_each_dataset_of_a_sum_is_a_sub_at_one_peer_too() -> None:
    found = planned("real2bin(a, b)", lying(a_f8="s1", b_i4="s1"))
    assert subs(found) == [("real2bin(a)", "s1"), ("real2bin(b)", "s1"), ("", "s1")]
    assert found.moves_bytes == 0


def test_a_collector_may_be_drawn() -> None:
    world = lying(a_f8="s1", b_i4="s2", c_i1="s3")
    drawn = {
        plan(
            parse("real2bin(a, b)"),
            world.records,
            world.present,
            ASKED,
            rng=Random(seed),
            collect="random",
        ).collector
        for seed in range(20)
    }
    assert drawn == {"s1", "s2"}


def test_a_plain_expression_at_one_peer_is_one_step() -> None:
    found = planned("sqrt(a) * 2 + b", lying(a_f8="s1", b_i4="s1 s2"))
    assert subs(found) == [("sqrt(a) * 2 + b", "s1")]
    assert found.moves_bytes == 0


def test_the_smaller_input_moves() -> None:
    found = planned("a * b", lying(a_i4="s1", b_f8="s2"))
    assert subs(found) == [("a", "s1"), ("", "s2")]
    assert found.moves_bytes == 400


def test_results_move_where_they_are_smaller_than_inputs() -> None:
    found = planned("a * (b + c > 7)", lying(a_f8="s1", b_f8="s2", c_f8="s2"))
    assert subs(found) == [("b + c > 7", "s2"), ("", "s1")]
    assert found.moves_bytes == 100


def test_inputs_move_where_they_are_smaller_than_results() -> None:
    found = planned("a * exp(float64(b))", lying(a_f8="s1", b_i1="s2"))
    assert subs(found) == [("b", "s2"), ("", "s1")]
    assert found.moves_bytes == 100


def test_only_partials_leave_a_peer() -> None:
    world = lying(a_f8=["s1", "s2", "s3"])
    found = planned("mean((a - mean(a)) ** 2) / 3", world)
    assert [step.reduction for step in found.steps] == [0, 0, 0, 1, 1, 1]
    # Two partials of each, and the mean to two peers.
    assert found.moves_bytes == 4 * PARTIAL_BYTES + 2 * 8
    agree(parse("mean((a - mean(a)) ** 2) / 3"), world, "variance")


def test_equal_subexpressions_are_made_once() -> None:
    found = planned("mean(a) / (1 + mean(a)) + sum(a)", lying(a_f8="s1"))
    assert [each.operation for each in found.reductions] == ["mean", "sum"]
    assert len(found.steps) == 2


def test_the_least_busy_holders_come_first() -> None:
    world = lying(a_f8="s1 s2 s3", b_f8="s3 s1")
    busy = {PeerId("s1"): 5, PeerId("s2"): 0, PeerId("s3"): 4}
    found = plan(parse("a + b"), world.records, busy, ASKED, rng=Random(0))
    assert found.steps[0].executors == ("s3", "s1")
    found = plan(parse("abs(a)"), world.records, busy, ASKED, rng=Random(0))
    assert found.steps[0].executors == ("s2", "s3", "s1")


def test_the_work_is_spread_over_the_copies() -> None:
    found = planned("mean(a)", lying(a_f8=["s1 s2"] * 10))
    firsts = [step.executors[0] for step in found.steps]
    assert firsts.count(PeerId("s1")) == firsts.count(PeerId("s2")) == 5


def test_a_part_with_nobody_is_named() -> None:
    world = lying(a_f8=["s1", "s2"])
    del world.present[PeerId("s2")]
    with pytest.raises(Missing, match=r"rows 50 to 100 of `a`.* s2 held them last"):
        planned("mean(a)", world)


def test_an_unknown_dataset_is_not_found() -> None:
    with pytest.raises(NotFound, match="no dataset x"):
        planned("x + 1", lying(a_f8="s1"))


def test_one_complex_number_is_refused() -> None:
    with pytest.raises(BadExpression, match="one complex number"):
        planned("complex64(mean(a))", lying(a_f8="s1"))


def test_constants_need_nobody() -> None:
    found = planned("1 + 2 * 3", lying(a_f8="s1"))
    assert (found.steps, found.collector, found.result) == ((), ASKED, Constant(7))


def test_why_tells_the_numbers() -> None:
    why = " | ".join(planned("a * b", lying(a_i4="s1", b_f8="s2")).why)
    assert "s2 collects: it holds 800 B of the inputs" in why
    assert "400 B of `a` come from s1 to s2" in why
    assert "400 B move in all; copying every input to asked would move 1.2 kB" in why


def test_plans_survive_the_wire() -> None:
    found = planned("real2bin(a, b) * mean(a)", lying(a_f8=["s1", "s2"], b_i4="s2"))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Plan) == found


@pytest.mark.filterwarnings("ignore")
def test_every_row_is_made_once_by_those_who_hold_what_it_needs() -> None:
    for seed in range(300):
        found = sensible(seed)
        if found is None or not found[1].records:
            continue
        expression, world = found
        made = plan(expression, world.records, world.present, ASKED, rng=Random(0))
        assert len(made.why) <= 20
        for number, step in enumerate(made.steps):
            assert step.number == number
            assert all(
                given.step < number
                for given in step.given
                if isinstance(given, Product)
            )
        if made.result is None:
            rows = sum(made.steps[piece].rows for piece in made.pieces)
            assert rows == len(world.arrays["a"])
