"""What must hold of members on a hostile network, whatever the seed.

Each property plays one seed and raises AssertionError if it does not hold. The tests
play some seeds, a soak plays many, and planted faults must make some fail.
"""

import math
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from shoal.cli.rehearsal import SECRET, Rehearsal, codec
from shoal.core.machine import Address, Cast, PeerId
from shoal.members.beliefs import MembersEffects
from shoal.members.facts import MemberFound, MemberLost
from shoal.members.messages import Ack, MembersMessage, Ping, Profile
from shoal.members.protocol import Members
from shoal.members.settings import MembersSettings
from shoal.sim.faults import Clock, Faults
from shoal.sim.network import Node, address_of

LAN = (0.0002, 0.003)
HOSTILE = Faults(loss=0.25, duplication=0.1, corruption=0.02, latency_s=(0.001, 0.06))
ROUGH = Faults(loss=0.1, duplication=0.05, latency_s=(0.001, 0.03))

# Clocks drift by up to so much; a quartz is a hundred times better.
DRIFT = 0.01


def chance(seed: int) -> Random:
    return Random(f"plot {seed}")


def opening(seed: int, peers: int, faults: Faults, seconds: float = 15) -> Rehearsal:
    """A network that has had time to find itself, with clocks that disagree."""
    stage, plot = Rehearsal(seed, faults), chance(seed)
    stage.network.trace = None
    for n in range(peers):
        rate = 1 + plot.uniform(-DRIFT, DRIFT)
        stage.drift(f"p{n}", Clock(offset_s=plot.uniform(0, 1000), rate=rate))
    stage.peers(str(peers))
    stage.run(seconds)
    return stage


def settle(stage: Rehearsal, within_s: float) -> None:
    """Everybody agrees by then, and agrees still a little later."""
    waited = 0.0
    while not stage.agreed():
        assert waited < within_s, f"no agreement: {stage.views()}"
        stage.run(0.5)
        waited += 0.5


def size(seed: int) -> int:
    """Mostly small networks, one in eighty of fifty."""
    plot = chance(-1 - seed)
    return 50 if plot.random() < 1 / 80 else plot.choice([2, 3, 4, 5, 5, 6, 8, 8, 13])


def lost(stage: Rehearsal, since: float = 0) -> list[tuple[float, PeerId, MemberLost]]:
    return [
        (at, peer, fact)
        for at, peer, fact in stage.network.facts
        if isinstance(fact, MemberLost) and at >= since
    ]


def everyone_finds_everyone(seed: int) -> None:
    settle(opening(seed, size(seed), HOSTILE, 1), 40)


def a_crash_is_noticed_by_all_and_stays_noticed(seed: int) -> None:
    plot, peers = chance(seed), max(3, size(seed))
    stage = opening(seed, peers, HOSTILE, 6)
    settle(stage, 30)
    manner = plot.choice(["", "silent"])
    stage.crash(f"p{plot.randrange(peers)}", manner)
    stage.run(6)
    settle(stage, 30)
    # Under such loss the living may be doubted, even lost for a moment; the dead
    # must never be believed alive again.
    gone = {PeerId(f"p{n}") for n in range(peers)} - set(stage.machines)
    for _ in range(6):
        stage.run(1)
        for view in stage.views().values():
            assert not gone & set(view), "the dead walk"


def a_restart_is_welcomed(seed: int) -> None:
    plot, peers = chance(seed), max(3, size(seed))
    stage = opening(seed, peers, HOSTILE, 6)
    settle(stage, 30)
    name = PeerId(f"p{plot.randrange(peers)}")
    stage.crash(name, plot.choice(["", "silent"]))
    stage.run(plot.choice([0.05, 0.5, 3.0, 10.0]))
    began = stage.network.now
    stage.restart(name)
    stage.run(4)
    settle(stage, 40)
    told = {
        peer
        for at, peer, fact in stage.network.facts
        if isinstance(fact, MemberFound)
        and at >= began
        and fact.profile.peer == name
        and fact.incarnation.generation == 2
    }
    assert told == set(stage.machines) - {name}, "somebody was not told of a new life"


def a_healed_partition_rejoins(seed: int) -> None:
    plot, peers = chance(seed), max(4, size(seed))
    stage = opening(seed, peers, ROUGH)
    settle(stage, 30)
    names = [f"p{n}" for n in range(peers)]
    plot.shuffle(names)
    left = names[: plot.randrange(1, peers)]
    right = [name for name in names if name not in left]
    if plot.random() < 1 / 3:
        for one in left:
            for other in right:
                stage.cut(one, other)
    else:
        stage.partition(*left, "/", *right)
    stage.run(plot.choice([2, 15, 40]))
    stage.heal()
    stage.run(10)
    settle(stage, 60)


def one_way_links_accuse_nobody(seed: int) -> None:
    """Whoever can be reached indirectly is not accused."""
    plot, peers = chance(seed), plot_peers(seed)
    calm = Faults(loss=0.01, latency_s=(0.001, 0.01))
    stage = opening(seed, peers, calm)
    settle(stage, 20)
    began = stage.network.now
    for _ in range(peers // 2):
        one, other = plot.sample(range(peers), 2)
        stage.cut(f"p{one}", f"p{other}")
    stage.run(30)
    assert not lost(stage, began), lost(stage, began)


def plot_peers(seed: int) -> int:
    return chance(-2 - seed).choice([5, 8, 13])


def a_calm_network_accuses_nobody(seed: int) -> None:
    peers = size(seed)
    stage = opening(seed, peers, Faults(latency_s=LAN), 60)
    assert stage.agreed()
    assert not lost(stage), lost(stage)


def ten_percent_loss_accuses_nobody(seed: int) -> None:
    peers = size(seed)
    faults = Faults(loss=0.1, latency_s=(0.0005, 0.01))
    stage = opening(seed, peers, faults, 60 if peers < 50 else 20)
    assert not lost(stage), lost(stage)


def a_pause_is_survived(seed: int) -> None:
    """Who was stopped for a while accuses nobody by itself, and is taken back."""
    plot, peers = chance(seed), max(3, size(seed))
    stage = opening(seed, peers, Faults(latency_s=LAN))
    name = f"p{plot.randrange(peers)}"
    stage.pause(name)
    stage.run(plot.choice([0.3, 1.0, 3.0, 10.0]))
    resumed = stage.network.now
    stage.resume(name)
    stage.run(10)
    settle(stage, 20)
    accused = {fact.peer for _, _, fact in lost(stage, resumed)}
    assert accused <= {PeerId(name)}, accused


def a_death_is_known_within_its_time(seed: int) -> None:
    """To all: 2 s after a silent one, 0.5 s after one whose connections closed."""
    plot, peers = chance(seed), size(seed)
    stage = opening(seed, peers, Faults(latency_s=LAN), 4)
    settle(stage, 5)
    silent = plot.random() < 0.5
    died = stage.network.now
    stage.crash(f"p{plot.randrange(peers)}", "silent" if silent else "")
    bound = 2.0 if silent else 0.5
    stage.run(bound * (1 + DRIFT))
    told = {peer for _, peer, _ in lost(stage, died)}
    assert told == set(stage.machines), f"after {bound} s unknown to some"


def news_reaches_all_soon(seed: int) -> None:
    """When the first knows of a death under loss, all know within a second."""
    stage = opening(seed, 30, ROUGH, 4)
    settle(stage, 10)
    died = stage.network.now
    stage.crash("p7", "silent")
    stage.run(6)
    times = {peer: at for at, peer, fact in lost(stage, died) if fact.peer == "p7"}
    assert set(times) == set(stage.machines), "some never knew"
    spread = max(times.values()) - min(times.values())
    assert spread < 0.5, f"{spread:.2f} s from the first to the last"


def the_dead_are_forgotten(seed: int) -> None:
    """A network where peers come and go for ever remembers a bounded number."""
    settings = MembersSettings(grace_s=30)
    stage = Rehearsal(seed, Faults(latency_s=LAN), settings)
    stage.network.trace = None
    stage.peers("3")
    for n in range(25):
        stage.peers(f"guest{n}", f"visitor{n}")
        stage.run(1.5)
        stage.crash(f"guest{n}")
        stage.crash(f"visitor{n}")
        stage.run(1.5)
    stage.run(60)
    for members in stage.present().values():
        assert len(list(members.roster.members)) == 2


def two_networks_do_not_meet(seed: int) -> None:
    """Not even when one's peers start at the other's addresses."""
    stage = opening(seed, 5, Faults(latency_s=LAN), 5)
    other = codec(SECRET + b"'s neighbour")
    stage.crash("p1", "silent")
    for n, peer in enumerate([PeerId("s0"), PeerId("s1")]):
        address = address_of(PeerId("p1")) if n == 0 else address_of(peer)
        members = Members(
            Profile(peer, address),
            [address_of(PeerId(f"p{each}")) for each in range(5)] + [address],
            MembersSettings(),
            generation=1,
            rng=stage.network.rng(),
            now=stage.network.now,
        )
        stage.members[peer] = members
        stage.network.add(peer, members, address=address, codec=other)
    stage.peers("p7")  # There is news to tell while p1's address is still called.
    stage.run(20)
    strangers = {PeerId("s0"), PeerId("s1")}
    for peer, members in stage.members.items():
        met = set(members.roster.present) & strangers
        assert not met - {peer} or peer in strangers, f"{peer} met {met}"
        if peer in strangers:
            assert set(members.roster.present) <= strangers


def an_address_taken_over_hides_no_death(seed: int) -> None:
    """Who moves in where another lived does not answer for it."""
    stage = opening(seed, 5, Faults(latency_s=LAN), 5)
    stage.crash("p2", "silent")
    stage.move("p2", "p9")
    stage.run(10)
    settle(stage, 10)


class Impostor:
    """Answers for whoever is asked for, in its own name."""

    deadline = math.inf

    def receive(self, *_: object) -> MembersEffects:
        return []

    met = refused = wake = receive

    def catch(
        self, source: Address, sender: PeerId, message: MembersMessage, now: float
    ) -> MembersEffects:
        match message:
            case Ping(nonce, target):
                return [Cast(source, Ack(nonce, target))]
        return []


def an_impostor_answers_for_nobody(seed: int) -> None:
    stage = opening(seed, 5, Faults(latency_s=LAN), 5)
    stage.crash("p2", "silent")
    there = address_of(PeerId("p2"))
    stage.network.add(PeerId("impostor"), Impostor(), address=there)
    stage.run(10)
    settle(stage, 1)


def a_late_answer_saves_nobody(seed: int) -> None:
    """An answer to an old question, sent again later, says nothing of today.

    1. b answers a.  2. The network keeps copies of that answer.  3. b dies.  4. Old
    answers keep arriving, as fast as a asks.
    """
    stage = opening(seed, 3, Faults(latency_s=LAN), 5)
    network = stage.network
    tape: list[Callable[[], None]] = []
    launch = network._land

    def record(sender: Node[Any, Any], address: Address, data: bytes) -> None:
        if sender.peer == "p1":
            tape.append(partial(launch, sender, address, data))
        launch(sender, address, data)

    network._land = record  # type: ignore[method-assign]
    stage.run(3)
    stage.crash("p1", "silent")
    for n in range(400):
        network.schedule(network.now + n * 0.01, tape[n % len(tape)])
    stage.run(4)
    settle(stage, 0.5)


def a_silent_death_among_fifty_is_known_in_time(seed: int) -> None:
    stage = opening(seed, 50, Faults(latency_s=LAN), 4)
    settle(stage, 5)
    died = stage.network.now
    stage.crash(f"p{chance(seed).randrange(50)}", "silent")
    stage.run(2.0 * (1 + DRIFT))
    told = {peer for _, peer, _ in lost(stage, died)}
    assert told == set(stage.machines), "after 2 s unknown to some"


Property = Callable[[int], None]

PROPERTIES: list[Property] = [
    everyone_finds_everyone,
    a_crash_is_noticed_by_all_and_stays_noticed,
    a_restart_is_welcomed,
    a_healed_partition_rejoins,
    one_way_links_accuse_nobody,
    a_calm_network_accuses_nobody,
    ten_percent_loss_accuses_nobody,
    a_pause_is_survived,
    a_death_is_known_within_its_time,
    news_reaches_all_soon,
    the_dead_are_forgotten,
    two_networks_do_not_meet,
    an_address_taken_over_hides_no_death,
    an_impostor_answers_for_nobody,
    a_late_answer_saves_nobody,
    a_silent_death_among_fifty_is_known_in_time,
]
