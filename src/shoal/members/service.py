"""Members as a peer uses them: who is there, and news of who comes and goes."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol

import msgspec
from msgspec import Raw

from shoal.core.driver import Driver
from shoal.core.machine import Address, Cast, Emit, Meet, PeerId, Send
from shoal.core.wire import Codec, Envelope, decoded
from shoal.members.facts import MembersFact
from shoal.members.messages import MembersMessage, Profile, Reason, State
from shoal.members.protocol import Members
from shoal.members.roster import Member
from shoal.members.settings import MembersSettings
from shoal.net.clockwork import Clockwork

TOPIC = "members"

_REASONS = {
    Reason.ANSWERS: "answers",
    Reason.SILENT: "no answer to direct, indirect and TCP probes",
    Reason.REFUSED: "its connection closed and its address refuses new ones",
    Reason.STOPPED: "stopped by its owner",
    Reason.LEFT: "left the network",
}


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """What one peer believes of a member, for people."""

    name: PeerId
    address: Address
    state: str
    since: float
    witnesses: tuple[PeerId, ...]
    reason: str
    host: str
    zone: str
    dialable: bool
    generation: int


class Wires(Protocol):
    """What members need of the network."""

    def post(self, to: PeerId, topic: str, body: bytes) -> None:
        """Send over a link."""

    def cast(self, to: Address, data: bytes) -> None:
        """Send a datagram."""

    async def meet(self, address: Address) -> PeerId | None:
        """Dial whoever is there."""


class MembersService:
    """Runs the members of one peer over real wires."""

    def __init__(
        self,
        profile: Profile,
        seeds: Iterable[Address],
        settings: MembersSettings,
        *,
        generation: int,
        secret: bytes,
        wires: Wires,
        fail: Callable[[Exception], None],
    ) -> None:
        self._clockwork = Clockwork(self._wake)
        self._wires = wires
        self._fail = fail
        self._codec: Codec[MembersMessage] = Codec(Envelope[MembersMessage], secret)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoder: msgspec.msgpack.Decoder[MembersMessage] = (
            msgspec.msgpack.Decoder(MembersMessage)
        )
        self._machine = Members(
            profile,
            seeds,
            settings,
            generation=generation,
            rng=Random(),
            now=self._clockwork.time(),
        )
        self._driver: Driver[MembersMessage, MembersFact] = Driver(self._machine, self)
        self._listeners: list[Callable[[MembersFact], None]] = []
        self._meetings: dict[Address, asyncio.Task[None]] = {}
        self.profile = profile

    def start(self) -> None:
        """Begin to probe."""
        self._driver.wake()

    def listen(self, listener: Callable[[MembersFact], None]) -> None:
        """Be told of everything that becomes true of members."""
        self._listeners.append(listener)

    def leave(self, reason: Reason) -> None:
        """Say goodbye."""
        self._driver.call(lambda now: self._machine.leave(reason, now))

    def stop(self) -> None:
        """Do nothing more."""
        self._clockwork.stop()
        for meeting in self._meetings.values():
            meeting.cancel()

    def change(self, profile: Profile) -> None:
        """Say something else of ourselves from now on."""
        self.profile = profile
        self._driver.call(lambda now: self._machine.change(profile, now))

    # Views

    @property
    def size(self) -> int:
        """How many are present, ourselves among them."""
        return self._machine.size

    @property
    def slowness(self) -> int:
        """By how much this peer stretches its patience, since it hears badly."""
        return self._machine.slowness

    def present(self) -> dict[PeerId, Profile]:
        """Everybody present but ourselves."""
        return {
            peer: member.news.profile
            for peer, member in self._machine.roster.present.items()
        }

    def profile_of(self, peer: PeerId) -> Profile | None:
        """What a peer said of itself, present or not."""
        member = self._machine.roster.get(peer)
        return member.news.profile if member else None

    def records(self) -> list[MemberRecord]:
        """Everybody we remember, ourselves first, then by name."""
        others = sorted(
            self._machine.roster.members, key=lambda each: each.news.profile.peer
        )
        return [self._record(each) for each in [self._machine.me, *others]]

    def _record(self, member: Member) -> MemberRecord:
        news, ago = member.news, self._clockwork.time() - member.since
        return MemberRecord(
            name=news.profile.peer,
            address=news.profile.address,
            state=State(news.state).name.lower(),
            since=round(time.time() - ago, 3),
            witnesses=tuple(member.witnesses),
            reason=_REASONS[news.reason],
            host=news.profile.host,
            zone=news.profile.zone,
            dialable=news.profile.dialable,
            generation=news.incarnation.generation,
        )

    # From the network

    def caught(self, source: Address, data: bytes) -> None:
        """A datagram came."""
        sender, message = self._codec.decode(data)
        self._driver.call(lambda now: self._machine.catch(source, sender, message, now))

    def posted(self, sender: PeerId, body: Raw) -> None:
        """A message came over a link."""
        self._driver.receive(sender, decoded(self._decoder, body))

    def refused(self, peer: PeerId) -> None:
        """A link broke, and nobody listens there any more."""
        self._driver.call(lambda now: self._machine.refused(peer, now))

    # World

    def time(self) -> float:
        """The machine's clock."""
        return self._clockwork.time()

    def alarm(self, at: float) -> None:
        """Wake the machine then."""
        self._clockwork.alarm(at)

    def perform(
        self,
        effect: Send[MembersMessage] | Cast[MembersMessage] | Meet | Emit[MembersFact],
    ) -> None:
        """Make an effect happen."""
        match effect:
            case Cast(to, message):
                data = self._codec.encode_datagram(self.profile.peer, message)
                self._wires.cast(to, data)
            case Send(to, message):
                self._wires.post(to, TOPIC, self._encode(message))
            case Meet(address):
                self._meet(address)
            case Emit(fact):
                for listener in self._listeners:
                    listener(fact)

    def _wake(self) -> None:
        try:
            self._driver.wake()
        except Exception as error:
            self._fail(error)

    def _meet(self, address: Address) -> None:
        if address not in self._meetings:
            meeting = asyncio.ensure_future(self._meet_there(address))
            self._meetings[address] = meeting
            meeting.add_done_callback(lambda _: self._meetings.pop(address, None))

    async def _meet_there(self, address: Address) -> None:
        peer = await self._wires.meet(address)
        if peer:
            self._driver.call(lambda now: self._machine.met(peer, address, now))
