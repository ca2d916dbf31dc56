"""Five processes: one dies, one falls silent, one returns."""

import signal
from collections.abc import Iterator

import pytest

from tests.end_to_end.cluster import (
    Cluster,
    Node,
    all_see,
    wait_all_alive,
    wait_until,
)

# Ten times what the campaign allows.
REFUSAL_S, SILENCE_S = 1.0, 20.0


@pytest.fixture(scope="module")
def five(sharer: Cluster) -> Iterator[list[Node]]:
    nodes = sharer.up("--peers", "5")
    wait_all_alive(nodes)
    yield nodes
    for node in nodes:
        if node.runs:
            node.kill(signal.SIGCONT)


def test_a_kill_is_noticed_by_all_and_the_return_is_welcomed(
    sharer: Cluster, five: list[Node]
) -> None:
    victim, others = five[1], five[:1] + five[2:]
    killed = victim.kill()
    wait_until(
        lambda: all_see(others, [victim.name], "dead"),
        SILENCE_S,
        f"all to see {victim.name} dead",
    )
    for record in [node.members()[victim.name] for node in others]:
        assert "refuses" in record["reason"]
        assert record["witnesses"]
        assert record["since"] - killed < REFUSAL_S
    before = others[0].members()[victim.name]["generation"]
    again = sharer.restart(victim)
    assert again.name == victim.name
    five[1] = again
    wait_all_alive(five)
    assert all(
        node.members()[victim.name]["generation"] == before + 1 for node in others
    )


def test_a_silent_one_is_dead_for_all_until_it_speaks_again(five: list[Node]) -> None:
    victim, others = five[3], five[:3] + five[4:]
    victim.kill(signal.SIGSTOP)
    wait_until(
        lambda: all_see(others, [victim.name], "dead"),
        SILENCE_S,
        f"all to see {victim.name} dead",
    )
    assert all("no answer" in n.members()[victim.name]["reason"] for n in others)
    victim.kill(signal.SIGCONT)
    wait_all_alive(five, SILENCE_S)
    generations = {node.members()[victim.name]["generation"] for node in five}
    assert len(generations) == 1  # It contradicted; it did not restart.
