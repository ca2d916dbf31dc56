"""Random expressions over random datasets, carried out by peers, as NumPy does."""

from random import Random

import numpy as np
import pytest

from shoal.client.jobs import number
from shoal.core.machine import PeerId
from shoal.flow.language.expressions import Dataset, Expression
from shoal.flow.language.grammar import show
from shoal.flow.messages import Part
from shoal.flow.plans.planner import plan
from tests.end_to_end.cluster import Cluster
from tests.end_to_end.science import JOB_S, Lab, lab, save
from tests.unit.expressions import (
    ASKED,
    Array,
    Executor,
    Oracle,
    Senseless,
    World,
    random_array,
    random_expression,
    world_of,
)

PEERS, WORLDS, EACH = 4, 5, 100


@pytest.fixture(scope="module")
def science(sharer: Cluster) -> Lab:
    return lab(sharer, [{} for _ in range(PEERS)], "--workers", "1")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(WORLDS))
def test_random_expressions_give_what_numpy_gives(science: Lab, seed: int) -> None:
    rng = Random(seed)
    world = settled(science, rng, seed)
    asked: list[Expression] = []
    while len(asked) < EACH:
        expression = random_expression(rng, list(world.arrays), rng.randint(1, 4))
        try:
            value = Oracle(world.arrays, None).answer(expression)
        except Senseless:
            continue
        if np.ndim(value) or np.asarray(value).dtype.kind != "c":
            asked.append(expression)
    jobs = science.flow(rng.randrange(PEERS)).run_many(map(show, asked))
    for expression, job in zip(asked, jobs, strict=True):
        record = job.wait(JOB_S)
        label = f"{job.id}: {show(expression)}"
        assert record["state"] == "done", f"{label}: {record['reason']}"
        found = plan(expression, world.records, world.present, ASKED, rng=Random(0))
        executor = Executor(found, world)
        executor.result()
        numbers = [
            (reduction.operation, executor.numbers[reduction.number])
            for reduction in found.reductions
        ]
        wanted = Oracle(world.arrays, numbers).answer(expression)
        if record["dataset"]:
            rows = science.flow().array(record["dataset"])
            np.testing.assert_array_equal(rows, wanted, label)
            kinds = [each.dtype.newbyteorder("=") for each in (rows, wanted)]
            assert kinds[0] == kinds[1], label
        else:
            np.testing.assert_array_equal(number(record["value"]), wanted, label)


def settled(science: Lab, rng: Random, seed: int) -> World:
    """Random datasets, cut anywhere, at any peers, some parts with copies."""
    shape = (rng.choice([0, 1, 7, 40, 1000]), *rng.choice([(), (), (3,), (2, 2)]))
    arrays = {f"{letter}{seed}": random_array(rng, shape) for letter in "abc"}
    world = world_of(arrays, rng)
    for leaf, record in world.records.items():
        assert isinstance(leaf, Dataset)
        for place, part in enumerate(record.parts):
            for node in {at(peer) for peer in part.holders}:
                add(science, node, (leaf.name, place), rows_of(world, part))
    return world


def add(science: Lab, node: int, what: tuple[str, int], rows: Array) -> None:
    name, place = what
    folder = science.cluster.root / f"files{node}"
    path = save(folder, f"{name}-{place}", rows)
    science.flow(node).add(str(path), name=name, place=place)


def rows_of(world: World, part: Part) -> Array:
    _, rows = world.parts[part.id]
    return rows


def at(peer: PeerId) -> int:
    """Which of ours stands for that one."""
    return int(peer.removeprefix("s")) % PEERS
