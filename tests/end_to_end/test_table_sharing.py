"""The table that all peers share, as its users meet it."""

import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np

from tests.end_to_end.cluster import Cluster, Node, wait_until
from tests.end_to_end.rolling import fill
from tests.end_to_end.writing import Wire

# What takes a second on an idle machine.
SOON_S = 30.0

KEYS = 300


def at(node: Node) -> dict[str, str]:
    """Let a command talk to that peer."""
    return {"SHOAL_PEER": str(node.address)}


def wait_replicated(user: Cluster, node: Node, *arguments: str) -> None:
    user.ask(
        *("wait", "--replicated", "--timeout", str(SOON_S)),
        *arguments,
        environment=at(node),
    )


def page(node: Node, path: str) -> str:
    with urlopen(f"http://{node.address}/{path}") as answer:
        return str(answer.read().decode())


def ready(node: Node) -> bool:
    try:
        return page(node, "readyz") == "ready\n"
    except HTTPError:
        return False


def three(user: Cluster, *arguments: str) -> list[Node]:
    nodes = user.up("--peers", "3", *arguments)
    wait_replicated(user, nodes[0])
    return nodes


def there(user: Cluster, node: Node, key: str) -> str:
    """What a peer says that a key has."""
    return user.shoal("get", key, environment=at(node)).stdout


def test_0_20_the_owner_dies_and_nothing_is_missed(user: Cluster) -> None:
    nodes = three(user)
    user.ask("put", "colour", "blue", environment=at(nodes[0]))
    where = user.ask("where", "colour", environment=at(nodes[1]))
    assert sorted(where["replicas"]) == sorted(node.name for node in nodes)
    owner = next(node for node in nodes if node.name == where["owner"])
    left = [node for node in nodes if node is not owner]
    owner.kill()
    assert there(user, left[0], "colour").strip() == "blue"
    user.ask("put", "colour", "green", environment=at(left[1]))
    missed = user.shoal(
        *("wait", "--replicated", "--timeout", "1"), environment=at(left[0])
    )
    assert missed.returncode == 124
    assert owner.name in missed.stderr
    again = user.restart(owner)
    wait_replicated(user, again)
    for node in left:
        node.kill()
    keys = again.client().status()["keys"]
    assert keys == 1


def test_who_joins_gets_its_share_of_copies(user: Cluster) -> None:
    nodes = three(user)
    fill(nodes[0].address, KEYS)
    joined = user.up("--join", nodes[0].address, "--dir", str(user.root / "4"))[0]
    wait_replicated(user, nodes[1])
    status = user.ask("status", environment=at(joined))
    assert len(status["view_members"]) == 4
    # A quarter of three copies of everything, more or less. On a busy machine a tenure
    # may end meanwhile: what only some had is then written again, not moved.
    assert 0 < status["keys_moved"] <= status["keys"] < 1.2 * 3 * KEYS / 4


def test_who_leaves_hands_over_what_it_has(user: Cluster) -> None:
    nodes = user.up("--peers", "4")
    wait_replicated(user, nodes[0])
    fill(nodes[0].address, KEYS)
    told = user.ask("leave", environment=at(nodes[0]))
    assert told["name"] == nodes[0].name
    assert not nodes[0].runs
    left = nodes[1:]
    wait_replicated(user, left[0])
    names = user.ask("status", environment=at(left[1]))["view_members"]
    assert sorted(names) == sorted(node.name for node in left)
    assert all(node.client().status()["keys"] == KEYS for node in left)


def test_the_last_one_does_not_leave(user: Cluster) -> None:
    node = user.up()[0]
    user.ask("put", "colour", "blue")
    refused = user.shoal("leave")
    assert refused.returncode == 5
    assert "the last" in refused.stderr
    assert there(user, node, "colour").strip() == "blue"


def test_a_leaver_of_two_leaves_everything_to_the_other(user: Cluster) -> None:
    elder, younger = user.up("--peers", "2")
    wait_replicated(user, elder)
    fill(younger.address, KEYS)
    user.ask("leave", environment=at(elder))
    assert not elder.runs
    wait_replicated(user, younger)
    with Wire(younger.address) as wire:
        for n in range(0, KEYS, 50):
            assert wire.ask(b"GET", b"key-%d" % n) == b"v" * 100
    assert user.ask("status", environment=at(younger))["view_members"] == [younger.name]


def test_down_and_up_again_keeps_the_view(user: Cluster, tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path / "three"))
    nodes = three(user, *where)
    user.ask("put", "colour", "blue")
    before = nodes[0].client().status()
    assert user.shoal("down").returncode == 0
    again = three(user, *where)
    after = again[0].client().status()
    assert (after["view"], after["view_members"]) == (
        before["view"],
        before["view_members"],
    )
    assert there(user, again[2], "colour").strip() == "blue"


def test_a_guest_uses_the_table_and_keeps_nothing(user: Cluster) -> None:
    alone = user.shoal("up", "--guest", "--listen", ":0", "--detach")
    assert alone.returncode == 2
    assert "--join" in alone.stderr
    node = user.up()[0]
    guest = user.up(
        *("--guest", "--join", node.address, "--dir", str(user.root / "guest"))
    )[0]
    user.ask("put", "colour", "blue", environment=at(guest))
    assert there(user, node, "colour").strip() == "blue"
    wait_replicated(user, guest)
    status = user.ask("status", environment=at(guest))
    assert status["guest"]
    assert status["view_members"] == [node.name]
    assert (status["keys"], status["units_owned"]) == (0, 0)
    user.ask("leave", environment=at(guest))
    assert not guest.runs


def test_the_founder_says_how_many_copies_there_are(user: Cluster) -> None:
    node = user.up("--replicas", "1")[0]
    assert node.client().status()["replicas"] == 1
    join = ("--join", node.address, "--dir", str(user.root / "2"))
    other = user.shoal("up", "--listen", ":0", "--detach", "--replicas", "5", *join)
    assert other.returncode == 2
    assert "replicas 5: this network keeps 1" in other.stderr
    second = user.up(*join)[0]
    wait_replicated(user, second)
    assert second.client().status()["replicas"] == 1
    assert len(user.ask("where", "colour")["replicas"]) == 1


def test_a_silent_member_is_let_go_after_its_grace(user: Cluster) -> None:
    nodes = user.up("--peers", "4", "--grace", "1")
    wait_replicated(user, nodes[0])
    fill(nodes[0].address, KEYS)
    nodes[3].kill()
    wait_until(
        lambda: len(nodes[0].client().status()["view_members"]) == 3,
        SOON_S,
        "the dead to be let go",
    )
    wait_replicated(user, nodes[0])
    assert all(node.client().status()["keys"] == KEYS for node in nodes[:3])


def test_of_two_the_elder_goes_on_alone(user: Cluster) -> None:
    elder, younger = user.up("--peers", "2")
    wait_replicated(user, elder)
    user.ask("put", "colour", "blue", environment=at(younger))
    younger.kill()
    user.ask("put", "colour", "green", environment=at(elder))
    assert there(user, elder, "colour").strip() == "green"


def test_status_and_figures_tell_of_the_table(user: Cluster) -> None:
    nodes = three(user)
    told = user.shoal("status").stdout
    assert re.search(r"^majority +yes$", told, re.MULTILINE)
    assert re.search(r"^units not whole +\d+$", told, re.MULTILINE)
    wait_until(  # Some may be changing hands.
        lambda: sum(node.client().status()["units_owned"] for node in nodes) == 1024,
        SOON_S,
        "every unit to have one owner",
    )
    at_owner = user.ask("where", "colour", environment=at(nodes[0]))["owner"]
    user.ask("put", "colour", "blue", environment=at(nodes[0]))
    figures = page(next(n for n in nodes if n.name == at_owner), "metrics")
    assert "shoal_table_view_majority 1.0" in figures
    assert re.search(r"^shoal_table_units_owned [1-9]", figures, re.MULTILINE)
    assert re.search(r"^shoal_table_rounds_total [1-9]", figures, re.MULTILINE)
    assert "shoal_table_batches_unknown_total 0.0" in figures
    wait_until(lambda: ready(nodes[0]), SOON_S, "the table to be opened")


def test_peers_for_every_two_processors(user: Cluster) -> None:
    from shoal.cli.up import per_two_processors

    nodes = user.up("--peers", "auto")
    assert len(nodes) == per_two_processors() >= 1


def test_of_two_the_younger_refuses_and_can_be_made_to_go_on(
    user: Cluster, tmp_path: Path
) -> None:
    elder, younger = user.up("--peers", "2")
    wait_replicated(user, elder)
    fill(elder.address, KEYS)
    unneeded = user.shoal("recover", "--force", "--yes", environment=at(younger))
    assert unneeded.returncode == 5
    elder.kill()
    wait_until(
        lambda: younger.client().status()["members_alive"] == 1, SOON_S, "the death"
    )
    with Wire(younger.address) as wire:
        refused = str(wire.ask(b"SET", b"colour", b"blue"))
    assert refused.startswith("CLUSTERDOWN NOQUORUM")
    assert "run: shoal recover --force" in refused
    careful = user.shoal("recover", environment=at(younger))
    assert careful.returncode == 2
    assert elder.name in careful.stderr
    unsaid = user.shoal("recover", "--force", environment=at(younger))
    assert unsaid.returncode == 5
    user.ask("recover", "--force", "--yes", environment=at(younger))
    wait_replicated(user, younger)
    with Wire(younger.address) as wire:
        assert all(
            wire.ask(b"GET", b"key-%d" % n) == b"v" * 100 for n in range(0, KEYS, 7)
        )
        assert wire.ask(b"SET", b"colour", b"green") == b"OK"
    back = user.restart(elder)
    wait_replicated(user, back, "--members", "2")
    status = back.client().status()
    assert sorted(status["view_members"]) == sorted([elder.name, younger.name])
    assert younger.name in status["recovered"][0]
    assert status["keys"] == KEYS + 1
    numbers = tmp_path / "numbers.npy"
    np.save(numbers, np.arange(10.0))
    user.ask("add", str(numbers), environment=at(back))
    listed = user.ask("datasets", environment=at(younger))
    assert [each["name"] for each in listed] == ["numbers"]


def test_a_recovery_outlives_restarts(user: Cluster) -> None:
    elder, younger = user.up("--peers", "2")
    wait_replicated(user, elder)
    elder.kill()
    wait_until(
        lambda: younger.client().status()["members_alive"] == 1, SOON_S, "the death"
    )
    user.ask("recover", "--force", "--yes", environment=at(younger))
    user.ask("put", "colour", "green", environment=at(younger))
    younger.kill()
    again = user.restart(younger)
    assert there(user, again, "colour").strip() == "green"
    assert younger.name in again.client().status()["recovered"][0]


def test_what_is_in_memory_begins_again_when_all_have_gone(user: Cluster) -> None:
    memory = ("--storage", "memory")
    nodes = user.up("--peers", "2", *memory)
    wait_replicated(user, nodes[0])
    wait_until(
        lambda: all((node.directory / "contacts.json").exists() for node in nodes),
        SOON_S,
        "contacts to be remembered",
    )
    for node in nodes:
        node.kill()
    alone = user.restart(nodes[1], *memory)
    wait_replicated(user, alone)
    assert alone.client().status()["view_members"] == [alone.name]
    both = user.restart(nodes[0], *memory)
    wait_replicated(user, both, "--members", "2")
