"""Runs a machine in a world. The real world and the simulated one share this code.

Nothing here awaits between a machine's input and its effects, so inputs never
interleave and the machine needs no lock.
"""

from collections.abc import Callable
from typing import Generic, Protocol

from shoal.core.machine import (
    Cast,
    Effects,
    Emit,
    FactT,
    Machine,
    Meet,
    MessageT,
    PeerId,
    Send,
)


class World(Protocol[MessageT, FactT]):
    """What a machine's driver needs of wherever it runs."""

    def time(self) -> float:
        """The machine's own clock."""

    def perform(
        self, effect: Send[MessageT] | Cast[MessageT] | Meet | Emit[FactT]
    ) -> None:
        """Make an effect happen."""

    def alarm(self, at: float) -> None:
        """See to it that `Driver.wake` is called then, and forget the last alarm."""


class Driver(Generic[MessageT, FactT]):
    """Tells a machine the time, performs its effects, sets its next alarm."""

    def __init__(
        self, machine: Machine[MessageT, FactT], world: World[MessageT, FactT]
    ) -> None:
        self.machine = machine
        self._world = world

    def call(self, call: Callable[[float], Effects[MessageT, FactT]]) -> None:
        """Let the machine act now."""
        for effect in call(self._world.time()):
            self._world.perform(effect)
        self._world.alarm(self.machine.deadline)

    def receive(self, sender: PeerId, message: MessageT) -> None:
        """Bring the machine one message."""
        self.call(lambda now: self.machine.receive(sender, message, now))

    def wake(self) -> None:
        """Its deadline has passed."""
        self.call(self.machine.wake)
