"""Probes under way: ours, and those we make for others.

A probe is direct first; then helpers are asked and the link is tried; then it is
over. A nonce is never used twice, so that a late answer counts for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from random import Random

from shoal.core.machine import Address, PeerId

# Errands are over in a fraction of a second; more at once means somebody floods us.
MAX_ERRANDS = 256


@dataclass(slots=True)
class Probe:
    """One question to one member."""

    target: PeerId
    nonce: int
    direct_until: float
    ends: float
    helpers: tuple[PeerId, ...] = ()
    nacked: dict[PeerId, None] = field(default_factory=dict)
    helped: bool = False
    linked: bool = False

    @property
    def due(self) -> float:
        """When something must be done about it."""
        return self.ends if self.helped else self.direct_until


@dataclass(slots=True)
class Errand:
    """A probe we make for somebody who cannot hear its target."""

    target: PeerId
    asker: PeerId
    source: Address | None  # Where the request came from; none if over the link.
    asked: int  # The asker's nonce.
    nack_at: float


class Probes:
    """Everything we asked and have no answer to."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.ours: dict[int, Probe] = {}
        self.errands: dict[int, Errand] = {}
        self._round: list[PeerId] = []

    @property
    def due(self) -> float:
        """When something must be done about one of them."""
        ours = min((probe.due for probe in self.ours.values()), default=inf)
        theirs = min((each.nack_at for each in self.errands.values()), default=inf)
        return min(ours, theirs)

    def _nonce(self) -> int:
        # A number nobody can guess, so that nobody can answer unasked.
        return self._rng.getrandbits(62)

    def open(
        self, target: PeerId, now: float, patience: float, verdict: float
    ) -> Probe:
        """Begin a probe."""
        probe = Probe(target, self._nonce(), now + patience, now + verdict)
        self.ours[probe.nonce] = probe
        return probe

    def take_due(self, now: float) -> list[Probe]:
        """What needs help, or is over: the latter is forgotten with this."""
        due = [probe for probe in self.ours.values() if probe.due <= now]
        for probe in due:
            if probe.helped:
                del self.ours[probe.nonce]
        return due

    def take_vain(self, now: float) -> list[Errand]:
        """Errands that brought no answer; they are forgotten with this."""
        vain = {n: each for n, each in self.errands.items() if each.nack_at <= now}
        for nonce in vain:
            del self.errands[nonce]
        return list(vain.values())

    def probing(self, target: PeerId) -> bool:
        """Is a probe of this member under way?"""
        return any(probe.target == target for probe in self.ours.values())

    def next_target(
        self, present: Mapping[PeerId, object], accused: PeerId | None
    ) -> PeerId | None:
        """Each once a round, in an order newly shuffled each round.

        Somebody we accuse takes every other turn.

        In one fixed order all peers would ask the same one at the same time, and a
        dead one would wait for its turn in it for n intervals.
        """
        if accused and self._rng.random() < 0.5:
            return accused
        while self._round:
            candidate = self._round.pop()
            if candidate in present:
                return candidate
        self._round = self._order(list(present))
        return self._round.pop() if self._round else None

    def _order(self, targets: list[PeerId]) -> list[PeerId]:
        self._rng.shuffle(targets)
        return targets

    def insert(self, newcomer: PeerId) -> None:
        """Give a newcomer a turn at random in what is left of this round."""
        if newcomer not in self._round:
            self._round.insert(self._rng.randrange(len(self._round) + 1), newcomer)

    def postpone(self, seconds: float) -> None:
        """We were not listening for so long: silence in that time proves nothing."""
        for probe in self.ours.values():
            probe.direct_until += seconds
            probe.ends += seconds
        for errand in self.errands.values():
            errand.nack_at += seconds

    def errand(self, errand: Errand) -> int | None:
        """Begin to ask for somebody; the nonce, or none if there are too many."""
        if len(self.errands) >= MAX_ERRANDS:
            return None
        nonce = self._nonce()
        self.errands[nonce] = errand
        return nonce
