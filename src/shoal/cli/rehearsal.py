"""Our own machines on the simulator's stage: for `shoal sim` and for the tests."""

from shoal.core.machine import PeerId
from shoal.core.wire import Codec, Envelope
from shoal.members.facts import MembersFact
from shoal.members.messages import MembersMessage, Profile
from shoal.members.protocol import Members
from shoal.members.settings import MembersSettings
from shoal.sim.faults import CALM, Faults
from shoal.sim.stage import Part, Stage

SECRET = b"a rehearsed network"


def codec(secret: bytes = SECRET) -> Codec[MembersMessage]:
    """How members speak in one network."""
    return Codec(Envelope[MembersMessage], secret)


class Rehearsal(Stage[MembersMessage, MembersFact]):
    """A network of members."""

    def __init__(
        self,
        seed: int,
        faults: Faults = CALM,
        settings: MembersSettings | None = None,
    ) -> None:
        self.settings = settings or MembersSettings()
        self.members: dict[PeerId, Members] = {}
        super().__init__(seed, codec(), self._cast, faults)

    def present(self) -> dict[PeerId, Members]:
        """Whoever is on the stage now."""
        return {peer: self.members[peer] for peer in self.machines}

    def views(self) -> dict[PeerId, list[PeerId]]:
        """Whom each believes present, itself included."""
        return {
            peer: sorted([peer, *members.roster.present])
            for peer, members in self.present().items()
        }

    def agreed(self) -> bool:
        """Does everybody believe present exactly those who are?"""
        everybody = sorted(self.machines)
        return all(view == everybody for view in self.views().values())

    def _cast(self, part: Part) -> Members:
        self.members[part.peer] = Members(
            Profile(part.peer, part.address),
            part.seeds,
            self.settings,
            generation=part.generation,
            rng=part.rng,
            now=part.now,
        )
        return self.members[part.peer]
