"""Machines apart: what firewalls and cuts between them change, and what they do not."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.cluster import Node, all_see, wait_until
from tests.end_to_end.namespaces import Machine, Namespaces, require_namespaces

FIND_S, NOTICE_S, HEAL_S = 30.0, 20.0, 60.0

# Long enough for a wrong suspicion to become a wrong verdict twice.
CALM_S = 3.0

NO_UDP = ("-p", "udp")
NO_CALLERS = ("-p", "tcp", "--syn")


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Namespaces]:
    require_namespaces()
    namespaces = Namespaces(tmp_path, 4)
    yield namespaces
    namespaces.remove()


def start(lan: Namespaces) -> list[Node]:
    """A peer on each machine; all join the first."""
    first, *others = lan.machines
    nodes = [first.up()]
    return nodes + [each.up("--join", nodes[0].address) for each in others]


def wait_all(lan: Namespaces, nodes: list[Node], state: str, within_s: float) -> None:
    """Wait until these believe this of each other."""
    wait_see(lan, nodes, nodes, state, within_s)


def wait_see(
    lan: Namespaces, who: list[Node], whom: list[Node], state: str, within_s: float
) -> None:
    names = [node.name for node in whom]
    wait_until(
        lambda: all_see(who, names, state, lan.members),
        within_s,
        f"{[node.address for node in who]} to see {names} {state}",
    )


def assert_calm(lan: Namespaces, nodes: list[Node]) -> None:
    """Nobody is lost for some seconds."""
    names = [node.name for node in nodes]
    end = time.monotonic() + CALM_S
    while time.monotonic() < end:
        for node in nodes:
            seen = lan.members(node)
            states = {name: seen[name]["state"] for name in names}
            assert not {"dead", "left"} & set(states.values()), states
        time.sleep(0.2)
    assert not [node.name for node in nodes if "MemberLost" in node.log()]


def test_links_carry_everything_where_datagrams_are_lost(lan: Namespaces) -> None:
    for machine in lan.machines:
        machine.drop(*NO_UDP)
    nodes = start(lan)
    wait_all(lan, nodes, "alive", FIND_S)
    assert_calm(lan, nodes)
    nodes[3].kill()
    wait_see(lan, nodes[:3], nodes[3:], "dead", NOTICE_S)


def test_who_cannot_be_dialled_is_a_member_like_others(lan: Namespaces) -> None:
    callers = lan.machines[2:]
    for machine in callers:
        machine.drop(*NO_CALLERS)
    nodes = start(lan)
    wait_all(lan, nodes, "alive", FIND_S)
    wait_until(
        lambda: all(
            lan.members(node)[caller.name]["dialable"] is (caller not in nodes[2:])
            for node in nodes
            for caller in nodes
        ),
        FIND_S,
        "all to know whom nobody can dial",
    )
    # Without datagrams the two of them have no way but over a third.
    for machine in lan.machines:
        machine.drop(*NO_UDP)
    assert_calm(lan, nodes)
    nodes[3].kill()
    wait_see(lan, nodes[:3], nodes[3:], "dead", NOTICE_S)


def test_both_sides_of_a_cut_go_on_and_meet_again(lan: Namespaces) -> None:
    nodes = start(lan)
    wait_all(lan, nodes, "alive", FIND_S)
    left, right = _halves(lan.machines)
    lan.part(left, right)
    wait_see(lan, nodes[:2], nodes[2:], "dead", NOTICE_S)
    wait_see(lan, nodes[2:], nodes[:2], "dead", NOTICE_S)
    wait_all(lan, nodes[:2], "alive", NOTICE_S)
    wait_all(lan, nodes[2:], "alive", NOTICE_S)
    lan.lift()
    wait_all(lan, nodes, "alive", HEAL_S)


def _halves(machines: list[Machine]) -> tuple[list[Machine], list[Machine]]:
    return machines[:2], machines[2:]
