"""A whole network in one thread, replayable from one seed.

Time moves from event to event. Every message is really encoded and decoded. Faults
come from a seeded generator, so a failing seed is the bug report.

A node is a machine, its clock and its address. It can be crashed (its sockets are
closed: who had a link hears it), cut off (nobody hears anything), paused (it sees no
time pass, and what comes meanwhile waits), slowed, and started again.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import Generic

from shoal.core.driver import Driver
from shoal.core.machine import (
    Address,
    Cast,
    Effects,
    Emit,
    FactT,
    Machine,
    Meet,
    MessageT,
    Networked,
    PeerId,
    Send,
)
from shoal.core.wire import Codec
from shoal.errors import MalformedMessage
from shoal.sim.faults import CALM, LINK_PATIENCE_S, RETRANSMIT_S, Clock, Faults

# A link's frame has a length where a datagram has a seal: 4 bytes, not 8. Both are
# counted as encoded; headers of IP, UDP and TCP are not.

# More events at one instant than any protocol needs: a machine's deadline has passed,
# and waking it does not move it.
MAX_AT_ONCE = 100_000
MOMENT_S = 1e-3


@dataclass(eq=False)
class Node(Generic[MessageT, FactT]):
    """One peer as the simulator sees it. The world its machine runs in."""

    peer: PeerId
    address: Address
    network: "Network[MessageT, FactT]"
    codec: Codec[MessageT]
    clock: Clock
    slow_s: float
    driver: Driver[MessageT, FactT] = field(init=False)
    low: Networked[MessageT, FactT] | None = field(init=False)
    alarm_id: int = -1
    paused: bool = False
    busy_until: float = 0.0
    waiting: list[Callable[[], None]] = field(default_factory=list)
    sent_bytes: int = 0

    def time(self) -> float:
        """What its own clock shows."""
        return self.clock.read(self.network.now)

    def perform(
        self, effect: Send[MessageT] | Cast[MessageT] | Meet | Emit[FactT]
    ) -> None:
        """Make an effect happen."""
        self.network.perform(self, effect)

    def alarm(self, at: float) -> None:
        """Wake the machine then, and not when the last alarm was set."""
        self.alarm_id = self.network.schedule(
            math.inf if at == math.inf else self.clock.true(at), self._ring
        )

    def _ring(self) -> None:
        if self.network.playing == self.alarm_id:
            self.undergo(self.driver.wake)

    def undergo(self, event: Callable[[], None]) -> None:
        """Let something happen to the machine: now, or when it is able to notice."""
        if self.paused:
            self.waiting.append(event)
        elif self.slow_s:
            self.busy_until = max(self.busy_until, self.network.now) + self.slow_s
            self.network.schedule(self.busy_until, partial(self._live, event))
        else:
            self._live(event)

    def _live(self, event: Callable[[], None]) -> None:
        if self.network.nodes.get(self.peer) is self:  # The crashed feel nothing.
            event()


class Network(Generic[MessageT, FactT]):
    """Machines joined by unreliable links."""

    def __init__(
        self, seed: int, codec: Codec[MessageT], faults: Faults = CALM
    ) -> None:
        self.now = 0.0
        self.faults = faults
        self.trace: list[str] | None = []
        self.facts: list[tuple[float, PeerId, FactT]] = []
        self.nodes: dict[PeerId, Node[MessageT, FactT]] = {}
        self.playing = -1
        self._at_once = 0
        self._moment = 0.0
        self._rng = Random(seed)
        self._codec = codec
        self._at: dict[Address, PeerId] = {}
        self._island: dict[PeerId, int] = {}
        self._cut: dict[tuple[PeerId, PeerId], None] = {}
        self._dark: dict[PeerId, None] = {}
        self._links: dict[tuple[PeerId, PeerId], float] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = count()  # Breaks ties, so equal times keep their order.

    # The stage: who is there

    def rng(self) -> Random:
        """A generator for one machine, derived from the network's seed."""
        return Random(self._rng.getrandbits(64))

    def add(
        self,
        peer: PeerId,
        machine: Machine[MessageT, FactT],
        *,
        address: Address | None = None,
        codec: Codec[MessageT] | None = None,
        clock: Clock | None = None,
        slow_s: float = 0.0,
    ) -> Node[MessageT, FactT]:
        """Start a machine. Whoever had its address before has it no more."""
        node = Node(
            peer=peer,
            address=address or address_of(peer),
            network=self,
            codec=codec or self._codec,
            clock=clock or Clock(),
            slow_s=slow_s,
        )
        node.driver = Driver(machine, node)
        node.low = machine if isinstance(machine, Networked) else None
        self.nodes[peer] = node
        self._dark.pop(peer, None)
        self._at[node.address] = peer
        node.alarm(machine.deadline)
        return node

    def call(
        self, peer: PeerId, call: Callable[[float], Effects[MessageT, FactT]]
    ) -> None:
        """Let an application use its machine."""
        self.nodes[peer].driver.call(call)

    def crash(self, peer: PeerId, *, silent: bool = False) -> None:
        """End a machine without a word; what it sent is still in flight.

        Its operating system closes its connections, unless that went down too
        (`silent`).
        """
        del self.nodes[peer]
        linked = list(self._linked_to(peer))
        self._links = {pair: at for pair, at in self._links.items() if peer not in pair}
        if silent:
            self._dark[peer] = None
        else:
            for other in linked:
                if self._open(peer, other) and self._open(other, peer):
                    self._later(partial(self._refuse, other, peer))

    def pause(self, peer: PeerId) -> None:
        """Let a machine see no time pass, as SIGSTOP does."""
        self.nodes[peer].paused = True

    def resume(self, peer: PeerId) -> None:
        """Let it find everything that came meanwhile, at once."""
        node = self.nodes[peer]
        node.paused = False
        waiting, node.waiting = node.waiting, []
        for event in waiting:
            node.undergo(event)

    # The wires between them

    def partition(self, *islands: Iterable[PeerId]) -> None:
        """Let messages pass only within an island."""
        self._island = {peer: n for n, island in enumerate(islands) for peer in island}

    def cut(self, sender: PeerId, target: PeerId) -> None:
        """Let nothing pass from one to the other. The way back stays open."""
        self._cut[sender, target] = None

    def heal(self) -> None:
        """Mend every wire."""
        self._island, self._cut = {}, {}

    def linked(self, one: PeerId, other: PeerId) -> bool:
        """Would a new link between them come about now?"""
        return other in self.nodes and self._open(one, other) and self._open(other, one)

    # Time

    def run(self, seconds: float) -> None:
        """Play everything that happens in the next `seconds`."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            at, self.playing, event = heapq.heappop(self._events)
            self._count_at_once(at)
            self.now = max(self.now, at)
            event()
        self.now = end

    def _count_at_once(self, at: float) -> None:
        if at > self._moment + MOMENT_S:
            self._moment, self._at_once = at, 0
        self._at_once += 1
        assert self._at_once < MAX_AT_ONCE, "time must pass"

    def schedule(self, at: float, event: Callable[[], None]) -> int:
        """Let something happen then; its number."""
        number = next(self._sequence)
        if at != math.inf:
            heapq.heappush(self._events, (at, number, event))
        return number

    # Effects

    def perform(
        self,
        node: Node[MessageT, FactT],
        effect: Send[MessageT] | Cast[MessageT] | Meet | Emit[FactT],
    ) -> None:
        """Make an effect of a machine happen."""
        if self.trace is not None:
            self.trace.append(f"{self.now:9.4f} {node.peer} {effect}")
        match effect:
            case Send(to, message):
                data = node.codec.encode(node.peer, message)
                node.sent_bytes += len(data)
                self._send(node, to, data, self.now + LINK_PATIENCE_S)
            case Cast(address, message):
                data = node.codec.encode_datagram(node.peer, message)
                node.sent_bytes += len(data)
                self._launch(node, address, data)
            case Meet(address):
                self._later(partial(self._meet, node, address), trips=2)
            case Emit(fact):
                self.facts.append((self.now, node.peer, fact))

    def _launch(
        self, node: Node[MessageT, FactT], address: Address, data: bytes
    ) -> None:
        copies = 1 + self._chance(self.faults.duplication)
        for _ in range(copies):
            if self._chance(self.faults.loss):
                continue
            landing = self._corrupt(data)
            at = self.now + self._rng.uniform(*self.faults.latency_s)
            self.schedule(at, partial(self._land, node, address, landing))

    def _land(
        self, sender: Node[MessageT, FactT], address: Address, data: bytes
    ) -> None:
        target = self.nodes.get(self._at.get(address, PeerId("")))
        if target and target.low and self._open(sender.peer, target.peer):
            try:
                claimed, message = target.codec.decode(data)
            except MalformedMessage:
                # Only corruption and another network's seal are nobody's fault.
                assert self.faults.corruption or target.codec is not sender.codec
                return
            catch = partial(target.low.catch, sender.address, claimed, message)
            target.undergo(lambda: target.driver.call(catch))

    def _send(
        self, node: Node[MessageT, FactT], to: PeerId, data: bytes, give_up: float
    ) -> None:
        """Deliver in order, as late as TCP would."""
        trips = 1 if (node.peer, to) in self._links else 3
        pair = (node.peer, to)
        at = max(self.now + self._trip(trips), self._links.get(pair, 0.0))
        if to in self.nodes:
            self._links[pair] = at
            self._links.setdefault((to, node.peer), 0.0)
        self.schedule(at, partial(self._arrive, node, to, data, give_up))

    def _arrive(
        self, node: Node[MessageT, FactT], to: PeerId, data: bytes, give_up: float
    ) -> None:
        target = self.nodes.get(to)
        if not (self._open(node.peer, to) and self._open(to, node.peer)):
            if self.now < give_up:
                again = self.now + RETRANSMIT_S
                self.schedule(again, partial(self._arrive, node, to, data, give_up))
        elif target is None:
            self._refuse(node.peer, to)
        else:
            if target.codec is node.codec:  # Another network's link is not greeted.
                sender, message = target.codec.decode(data)
                target.undergo(lambda: target.driver.receive(sender, message))

    def _meet(self, node: Node[MessageT, FactT], address: Address) -> None:
        peer = self._at.get(address, PeerId(""))
        there = self.nodes.get(peer)
        if there and there.codec is node.codec and self.linked(node.peer, peer):
            self._hear(node.peer, lambda low, now: low.met(peer, address, now))

    def _refuse(self, peer: PeerId, gone: PeerId) -> None:
        if gone not in self.nodes and gone not in self._dark:
            self._hear(peer, lambda low, now: low.refused(gone, now))

    def _hear(
        self,
        peer: PeerId,
        call: Callable[[Networked[MessageT, FactT], float], Effects[MessageT, FactT]],
    ) -> None:
        node = self.nodes.get(peer)
        if node and node.low:
            low = node.low
            node.undergo(lambda: node.driver.call(lambda now: call(low, now)))

    # Chance

    def _chance(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    def _corrupt(self, data: bytes) -> bytes:
        if not self._chance(self.faults.corruption):
            return data
        at = self._rng.randrange(len(data))
        return (
            data[:at]
            + bytes([data[at] ^ (1 << self._rng.randrange(8))])
            + data[at + 1 :]
        )

    def _trip(self, trips: int) -> float:
        """How long TCP takes for so many one-way trips, retransmissions included."""
        total = 0.0
        for _ in range(trips):
            total += self._rng.uniform(*self.faults.latency_s)
            wait = RETRANSMIT_S
            while self._chance(self.faults.loss) and wait < LINK_PATIENCE_S:
                total += wait
                wait *= 2
        return total

    def _later(self, event: Callable[[], None], trips: int = 1) -> None:
        self.schedule(self.now + self._trip(trips), event)

    # Who can hear whom

    def _open(self, sender: PeerId, target: PeerId) -> bool:
        same = self._island.get(sender) == self._island.get(target)
        return same and (sender, target) not in self._cut

    def _linked_to(self, peer: PeerId) -> Iterator[PeerId]:
        """Who hears the connection close: who talked, and neighbours by identity."""
        order = sorted([*self.nodes, peer])
        here = order.index(peer)
        around = [order[(here + step) % len(order)] for step in (-3, -2, -1, 1, 2, 3)]
        talked = [other for one, other in self._links if one == peer]
        for other in dict.fromkeys([*around, *talked]):
            if other in self.nodes and other != peer:
                yield other


def address_of(peer: PeerId) -> Address:
    """Where a simulated peer lives unless told otherwise."""
    return Address(f"{peer}:7600")
