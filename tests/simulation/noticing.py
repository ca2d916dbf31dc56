"""A simulated network where peers notice who comes and goes, each in its own time.

Members are played: who crashes, is cut off or is back is noticed by each of the others
some time later, and not by all at once.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Generic

from shoal.core.machine import FactT, MessageT, PeerId
from shoal.sim.network import Network


class Noticing(Generic[MessageT, FactT]):
    """Who is where, and who has noticed."""

    network: Network[MessageT, FactT]
    rng: Random
    names: list[PeerId]

    def __init__(self) -> None:
        self._island: dict[PeerId, int] = {}

    def later(self, seconds: float, event: Callable[[], None]) -> None:
        self.network.schedule(self.network.now + seconds, event)

    def run(self, seconds: float) -> None:
        self.network.run(seconds)

    def partition(self, *islands: list[PeerId]) -> None:
        self.network.partition(*islands)
        self._island = {name: n for n, names in enumerate(islands) for name in names}
        for name in self.names:
            self.be_noticed(name, (0.5, 2))

    def heal(self) -> None:
        self.network.heal()
        self._island = {}
        for name in self.names:
            self.be_noticed(name, (0.05, 1))

    def near(self, one: PeerId, other: PeerId) -> bool:
        return self._island.get(one) == self._island.get(other)

    def be_noticed(self, name: PeerId, within_s: tuple[float, float]) -> None:
        for other in self.names:
            if other != name:
                for one, two in ((name, other), (other, name)):
                    look = partial(self.look, one, two)
                    self.later(self.rng.uniform(*within_s), look)

    def look(self, watcher: PeerId, watched: PeerId) -> None:
        """One sees whether another is there."""
        raise NotImplementedError
