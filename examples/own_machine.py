"""A protocol of your own under Shoal's simulator: does a rumour reach everybody?"""

from random import Random

from msgspec import Struct

from shoal.core.machine import Effects, Emit, PeerId, Send
from shoal.core.wire import Codec, Envelope
from shoal.sim.faults import Faults
from shoal.sim.network import Network

PEERS = [PeerId(f"p{n}") for n in range(20)]


class Rumour(Struct, frozen=True):
    text: str


class Gossip:
    """Tells a random peer what it heard, once a second."""

    def __init__(self, heard: str | None, rng: Random) -> None:
        self.heard, self.rng, self.deadline = heard, rng, 0.0

    def receive(
        self, sender: PeerId, rumour: Rumour, now: float
    ) -> Effects[Rumour, str]:
        fresh, self.heard = self.heard is None, rumour.text
        return [Emit(f"heard it from {sender}")] if fresh else []

    def wake(self, now: float) -> Effects[Rumour, str]:
        self.deadline = now + 1
        return [Send(self.rng.choice(PEERS), Rumour(self.heard))] if self.heard else []


codec = Codec(Envelope[Rumour], b"a secret of this network")
network: Network[Rumour, str] = Network(seed=7, codec=codec, faults=Faults(loss=0.3))
for peer in PEERS:
    network.add(peer, Gossip("fish!" if peer == "p0" else None, network.rng()))
network.run(5)
network.crash(PEERS[3])
network.run(25)
for at, peer, fact in network.facts:
    print(f"{at:6.2f} s  {peer} {fact}")
