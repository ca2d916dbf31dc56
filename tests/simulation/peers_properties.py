"""What must hold of a table on many peers, whatever the seed."""

import math

from shoal.core.machine import PeerId
from shoal.sim.checker import check
from shoal.sim.disk import Crash
from shoal.sim.models import Register
from shoal.table.messages import UNIT_BITS
from shoal.table.replication.views import peer_of
from shoal.table.slots import slot_of
from tests.simulation.peers import UNITS, Sea
from tests.simulation.peers_clients import PATIENCE_S, Clients
from tests.simulation.properties import Property

CRASHES: tuple[Crash, ...] = ("kept", "lost", "torn")

# After all faults have ended everything is whole by then.
LEVEL_S = 20.0


def expect_linearizable(clients: Clients) -> None:
    verdict = check(clients.history, Register())
    assert verdict, verdict


def expect_whole(sea: Sea, clients: Clients) -> None:
    """Every key is owned by one, and all who should keep it hold the same of it."""
    for _ in range(int(2 * LEVEL_S)):
        sea.run(0.5)
        lacking = [why for key in clients.keys if (why := what_lacks(sea, key))]
        if not lacking:
            return
    raise AssertionError("; ".join(lacking))


def what_lacks(sea: Sea, key: bytes) -> str:
    """Why a key is not whole, if so."""
    owners = [life for life in sea.lives.values() if life.owns(key)]
    if len(owners) != 1:
        return f"{key!r} is owned by {len(owners)}"
    holding = owners[0].replica.owner.holdings[slot_of(key) >> UNIT_BITS]
    lives = [sea.lives[peer_of(voter)] for voter in holding.new.voters]
    held = {life.name: life.table.held(key) for life in lives}
    same = len({repr(copy) for copy in held.values()}) == 1
    return "" if holding.whole and same else f"{key!r} is not whole: {holding}, {held}"


def expect_all_well(clients: Clients) -> None:
    """In the end all can be read, is explicable, and is whole."""
    for client in range(10, 30):
        clients.act(client)
    clients.sea.run(PATIENCE_S)
    expect_linearizable(clients)
    expect_whole(clients.sea, clients)


def end_faults(sea: Sea) -> None:
    sea.loss = sea.duplication = 0.0
    sea.heal()
    for name in sea.names:
        if name not in sea.lives:
            sea.start(name)
    sea.run(LEVEL_S)


def settle(sea: Sea) -> None:
    """All have found each other, and are members."""
    for _ in range(60):
        sea.run(0.5)
        views = {life.replica.seat.number for life in sea.lives.values()}
        view = max(sea.views.values(), key=lambda each: each.number)
        if len(view.members) == len(sea.names) and len(views) == 1:
            return
    raise AssertionError(f"no view of all: {sea.views}")


def misfortune(sea: Sea, healing: float = 0.055) -> None:
    if len(sea.names) == 1:
        return
    rng, name = sea.rng, sea.rng.choice(sea.names)
    chance = rng.random()
    if name not in sea.lives:
        if chance < 0.3:
            sea.start(name)
    elif chance < 0.02:
        sea.crash(name, rng.choice(CRASHES))
    elif chance < 0.035:
        names = rng.sample(sea.names, len(sea.names))
        cut = rng.randint(1, len(names) - 1)
        sea.partition(names[:cut], names[cut:])
    elif chance < 0.045:
        one, other = rng.sample(sea.names, 2)
        sea.network.cut(one, other)
    elif chance < 0.045 + healing:
        sea.heal()


def go_through_storms(sea: Sea, clients: Clients) -> None:
    """Clients ask while anything may happen; in the end all is well."""
    rng = sea.rng
    settle(sea)
    sea.loss, sea.duplication = rng.choice([0, 0.02, 0.1]), rng.choice([0, 0.1])
    for _ in range(150):
        clients.act(rng.randrange(5))
        sea.run(rng.uniform(0, 0.1))
        misfortune(sea)
    end_faults(sea)
    expect_all_well(clients)


def one_copy_for_all(seed: int) -> None:
    """Every history is linearizable, and all is whole when faults have ended."""
    sea = Sea(seed, [3, 5, 3, 9][seed % 4])
    go_through_storms(sea, Clients(sea, rng_keys(seed)))


def members_come_and_go(seed: int) -> None:
    """Peers join, leave and lose their disks while clients ask."""
    sea = Sea(seed, 1 + seed % 3)
    clients, rng = Clients(sea, 2), sea.rng
    sea.run(rng.uniform(0, 4))
    sea.loss, sea.duplication = rng.choice([0, 0.02, 0.1]), rng.choice([0, 0.1])
    wiped = False
    sea.grace_s = rng.choice([1.5, 600])  # For those who start from now on.
    for turn in range(160):
        clients.act(rng.randrange(5))
        sea.run(rng.uniform(0, 0.15))
        chance, name = rng.random(), rng.choice(sea.names)
        if chance < 0.02 and len(sea.names) < 6:
            sea.add()
        elif chance < 0.04 and name in sea.lives and not wiped:
            sea.lives[name].leave()
        elif chance < 0.06 and not wiped and turn > 80 and may_be_wiped(sea, name):
            wiped = True
            sea.crash(name, "wiped")
        elif turn % 3 == 0:
            misfortune(sea)
    end_faults(sea)
    expect_all_well(clients)


def may_be_wiped(sea: Sea, name: PeerId) -> bool:
    """Would enough copies be left of everything?"""
    replicas = [life.replica for life in sea.lives.values()]
    if name not in sea.lives or not all(each.seat.views for each in replicas):
        return False
    views = [each.seat.views[-1] for each in replicas]
    calm = all(view == views[0] and len(view.members) >= 3 for view in views)
    going = any(each.roll.leaving and each.roll.member for each in replicas)
    held = [each for life in sea.lives.values() for each in life.holdings]
    # What nobody owns may be moving still, from fewer than three.
    owned = {each.unit for each in held if each.state == "open" and not each.old}
    return calm and not going and len(owned) == len(held) == UNITS


def rng_keys(seed: int) -> int:
    return 1 + seed % 3


def two_are_a_network(seed: int) -> None:
    """The elder goes on alone; what both acknowledged outlives either."""
    sea = Sea(seed, 2)
    go_through_storms(sea, Clients(sea, 2))


def full_disks_are_survived(seed: int) -> None:
    """A peer whose disk is full for a while does no harm."""
    sea = Sea(seed, 3 if seed % 3 else 1)
    clients, rng = Clients(sea, rng_keys(seed)), sea.rng
    settle(sea)
    for _ in range(150):
        clients.act(rng.randrange(5))
        sea.run(rng.uniform(0, 0.1))
        misfortune(sea)
        disk = sea.disks[rng.choice(sea.names)]
        if disk.capacity_bytes < math.inf or rng.random() < 0.03:
            full = disk.capacity_bytes == math.inf
            if full or rng.random() < 0.3:
                disk.capacity_bytes = disk.used_bytes + 200 if full else math.inf
    for disk in sea.disks.values():
        disk.capacity_bytes = math.inf
    end_faults(sea)
    expect_all_well(clients)


PEERS_PROPERTIES: list[Property] = [
    one_copy_for_all,
    members_come_and_go,
    two_are_a_network,
    full_disks_are_survived,
]
