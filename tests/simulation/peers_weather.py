"""What must hold of a table on many peers in weather that is made for one danger."""

from functools import partial

from shoal.sim.faults import Faults
from shoal.table.messages import UNIT_BITS, View
from shoal.table.replication.views import peer_of
from shoal.table.slots import slot_of
from tests.simulation.peers import SLOW, Life, Sea
from tests.simulation.peers_clients import PATIENCE_S, Clients
from tests.simulation.peers_properties import (
    CRASHES,
    end_faults,
    expect_all_well,
    misfortune,
    settle,
)
from tests.simulation.properties import Property

# Answers come seconds late, and others overtake them on other ways.
STORMY = Faults(loss=0.3, latency_s=(0.001, 0.2))


def busy(clients: Clients, acts: int) -> None:
    for _ in range(acts):
        clients.act(clients.rng.randrange(5))
        clients.sea.run(clients.rng.uniform(0, 0.1))


def owner_of(sea: Sea, key: bytes) -> Life | None:
    return next((life for life in sea.lives.values() if life.owns(key)), None)


def rivals_take_from_each_other(seed: int) -> None:
    """Owners come and go by themselves; what was sent comes again much later."""
    weather = STORMY if seed % 3 else SLOW
    sea = Sea(seed, [3, 3, 5, 2][seed % 4], weather, purging_s=0.5)
    clients, rng = Clients(sea, 1 + seed % 4, lending=True), sea.rng
    settle(sea)
    sea.loss, sea.duplication = rng.choice([0, 0.1, 0.3]), rng.choice([0.1, 0.5])
    sea.echo_s, sea.disk_s = rng.choice([0.05, 2, 30]), rng.choice([0.01, 0.3])
    claims, healing = rng.choice([0.01, 0.1, 0.3]), rng.choice([0.01, 0.055])
    for _ in range(200):
        busy(clients, 1)
        if rng.random() < claims and (live := list(sea.lives.values())):
            rng.choice(live).grab()
        misfortune(sea, healing)
    end_faults(sea)
    expect_all_well(clients)


def crowds_share_rounds(seed: int) -> None:
    """What many ask at once is told together, while tenures and views change."""
    weather = STORMY if seed % 3 else SLOW
    sea = Sea(seed, 2 + seed % 3, weather, purging_s=0.5)
    clients, rng = Clients(sea, 6, lending=True), sea.rng
    settle(sea)
    sea.loss, sea.disk_s = rng.choice([0, 0.1]), rng.choice([0.01, 0.1, 0.3])
    sea.linger_s = rng.choice([0.1, 1.0])
    for turn in range(40):
        for _ in range(rng.randint(1, 16)):
            clients.act(rng.randrange(16))
            sea.run(rng.uniform(0, 0.01))
        sea.run(rng.uniform(0, 0.1))
        if rng.random() < 0.2 and (live := list(sea.lives.values())):
            rng.choice(live).grab(slot_of(rng.choice(clients.keys)) >> UNIT_BITS)
        if turn == 20 and len(sea.names) < 4:
            sea.add()
        if turn % 4 == 0:
            misfortune(sea)
    end_faults(sea)
    expect_all_well(clients)


def disks_stand_still(seed: int) -> None:
    """What has a majority goes on beside what has none, at the same owner."""
    sea = Sea(seed, 5, Faults(latency_s=(0.001, 0.03)))
    clients, rng = Clients(sea, 5), sea.rng
    settle(sea)
    busy(clients, 20)
    sea.run(PATIENCE_S)
    sea.hung = dict.fromkeys(rng.sample(sea.names, 2))
    ask_at_once(clients, 60)
    sea.run(PATIENCE_S)
    first = len(clients.history)
    ask_at_once(clients, 60)
    sea.run(PATIENCE_S)
    for asked in clients.history[first:]:
        assert isinstance(asked.key, bytes)
        stuck = majority_hangs(sea, asked.key)
        assert stuck or not asked.unknown, f"{asked} waits for what it has not to do"
    sea.hung = {}
    end_faults(sea)
    expect_all_well(clients)


def ask_at_once(clients: Clients, acts: int) -> None:
    """Nobody waits for what others have asked."""
    for client in range(acts):
        clients.act(len(clients.history) + client)
        clients.sea.run(clients.rng.uniform(0, 0.1))


def majority_hangs(sea: Sea, key: bytes) -> bool:
    """Can nothing be decided on a key while those disks stand still?"""
    unit = slot_of(key) >> UNIT_BITS
    for life in sea.lives.values():
        if holding := life.replica.owner.holdings.get(unit):
            hung = [v for v in holding.new.voters if peer_of(v) in sea.hung]
            return 2 * len(hung) > len(holding.new.voters) or life.name in sea.hung
    return True


def who_is_cut_off_is_obeyed_no_more(seed: int) -> None:
    """An owner that others do not hear is asked on, while another takes its unit."""
    sea = Sea(seed, 3 + 2 * (seed % 2), STORMY if seed % 3 else SLOW)
    clients, rng = Clients(sea, 1 + seed % 2, lending=True), sea.rng
    settle(sea)
    sea.disk_s = rng.choice([0.01, 0.1, 0.3])
    for _ in range(16):
        key = rng.choice(clients.keys)
        others = [life for life in sea.lives.values() if not life.owns(key)]
        rival, owner = rng.choice(others), owner_of(sea, key)
        if owner and rng.random() < 0.5:
            sea.network.cut(owner.name, rival.name)
        elif owner:
            rest = [name for name in sea.names if name != owner.name]
            sea.network.partition([owner.name], rest)
        rival.grab(slot_of(key) >> UNIT_BITS)
        busy(clients, rng.randint(5, 30))
        if rng.random() < 0.5:
            sea.heal()
    end_faults(sea)
    expect_all_well(clients)


def owners_start_again_and_again(seed: int) -> None:
    """What an earlier life of theirs was answered comes late."""
    sea = Sea(seed, 2 + seed % 2, STORMY if seed % 3 else SLOW)
    clients, rng = Clients(sea, 1 + seed % 2), sea.rng
    settle(sea)
    sea.duplication, sea.echo_s = 0.5, rng.choice([0.5, 2, 5])
    sea.loss, sea.disk_s = rng.choice([0, 0.1, 0.5]), rng.choice([0.01, 0.1])
    for _ in range(12):
        busy(clients, rng.randint(5, 15))
        if owner := owner_of(sea, clients.keys[0]):
            sea.crash(owner.name, rng.choice(CRASHES))
            sea.start(owner.name)
    end_faults(sea)
    expect_all_well(clients)


def everybody_proposes(seed: int) -> None:
    """Views follow each other as fast as they may, each with other replicas."""
    sea = Sea(seed, 3 + 2 * (seed % 2), purging_s=0.5)
    clients, rng = Clients(sea, 1 + seed % 3), sea.rng
    settle(sea)
    sea.loss, sea.duplication = rng.choice([0, 0.1]), rng.choice([0, 0.3])
    sea.echo_s, sea.disk_s = rng.choice([0.05, 2]), rng.choice([0.01, 0.1])
    for turn in range(120):
        busy(clients, 1)
        for life in sea.lives.values():
            if rng.random() < 0.3:
                life.propose(partial(other_replicas, rng.choice([1, 3, 5])))
        name = rng.choice(sea.names)
        if turn % 4 == 0:
            misfortune(sea)
        elif name in sea.lives and rng.random() < 0.04:
            sea.crash(name, rng.choice(CRASHES))
            sea.start(name)
    end_faults(sea)
    expect_all_well(clients)


def other_replicas(count: int, view: View) -> View:
    return View(view.number + 1, view.members, count)


PEERS_WEATHER: list[Property] = [
    rivals_take_from_each_other,
    crowds_share_rounds,
    disks_stand_still,
    who_is_cut_off_is_obeyed_no_more,
    owners_start_again_and_again,
    everybody_proposes,
]
