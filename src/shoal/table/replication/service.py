"""The replica as a peer runs it: over its links, its clock and its log."""

from collections.abc import Callable
from random import Random
from typing import Protocol

import msgspec
from msgspec import Raw

from shoal.core.driver import Driver
from shoal.core.machine import Cast, Emit, Meet, PeerId, Send
from shoal.core.wire import decoded
from shoal.net.clockwork import Clockwork
from shoal.table.protocol import Table
from shoal.table.recovery import Remains
from shoal.table.replication.facts import Fact
from shoal.table.replication.messages import Said
from shoal.table.replication.owners import Owners
from shoal.table.replication.protocol import Effects, Replica
from shoal.table.replication.roll import GRACE_S
from shoal.table.replication.standing import Standing, standing

TOPIC = "table"


class Post(Protocol):
    """What the replica needs of the network."""

    def post(self, to: PeerId, topic: str, body: bytes) -> None:
        """Send over a link."""


class Replication:
    """One peer's part in keeping the table."""

    def __init__(
        self,
        peer: PeerId,
        owners: Owners,
        wires: Post,
        *,
        host: str,
        founding: bool,
        guest: bool = False,
        replicas: int | None = None,
        grace_s: float = GRACE_S,
        fail: Callable[[Exception], None],
    ) -> None:
        self._peer = peer
        self._host = host
        self._founding = founding
        self._guest = guest
        self._replicas = replicas
        self._grace_s = grace_s
        self._wires = wires
        self._fail = fail
        self.owners = owners
        self._clockwork: Clockwork | None = None
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoder: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)
        self._encoded: tuple[object, bytes] = (None, b"")
        # Told what has become true; it is called within whatever brought it about.
        self.told: Callable[[Fact], None] = lambda _: None

    def start(
        self, table: Table, remains: Remains, start: int, went_on: Callable[[], None]
    ) -> None:
        """Begin.

        `went_on` is called whenever there may be something to commit or to tell.
        """
        self._went_on = went_on
        self._clockwork = Clockwork(self._wake)
        self._begin(table, remains, start)

    def _begin(self, table: Table, remains: Remains, start: int) -> None:
        self.replica = Replica(
            self._peer,
            start,
            table,
            remains,
            host=self._host,
            rng=Random(),
            now=self.time(),
            founding=self._founding,
            guest=self._guest,
            replicas=self._replicas,
        )
        self.replica.roll.grace_s = self._grace_s
        self.owners.replica = self.replica
        self._driver: Driver[Said, Fact] = Driver(self.replica, self)
        self._driver.wake()

    def stop(self) -> None:
        """Do nothing any more."""
        if self._clockwork:
            self._clockwork.stop()

    # What a service tells it

    def found(self, peer: PeerId) -> None:
        """A member is there."""
        self._call(lambda now: self.replica.found(peer, now))

    def gone(self, peer: PeerId) -> None:
        """A member is lost, or has left."""
        self._call(lambda now: self.replica.gone(peer, now))

    def posted(self, sender: PeerId, body: Raw) -> None:
        """A message came over a link."""
        said = decoded(self._decoder, body)
        self._call(lambda now: self.replica.receive(sender, said, now))

    def released(self, safe: int, refused: int) -> None:
        """The disk has kept all up to one batch, and refused all up to another."""
        self._call(lambda now: self.replica.released(safe, refused, now))

    def turn_over(self) -> None:
        """What clients read and changed goes to the replicas."""
        self._call(self.replica.flush)

    def leave(self) -> None:
        """Be a member no more, once others have all that is ours."""
        self._call(self.replica.leave)

    def retire(self) -> None:
        """Own nothing any more that others can own."""
        self._call(self.replica.retire)

    def refound(self, at: int) -> None:
        """Let the network go on from our copy alone."""
        self._call(lambda now: self.replica.refound(at, now))

    def found_late(self) -> None:
        """Found a network, if there is none."""
        self._call(self.replica.found_late)

    def begin_anew(self, start: int) -> None:
        """Forget everything, and come back as a newcomer."""
        left = self.replica
        left.owner.lose_all()
        table, alive = left.seat.table, list(left.seat.alive)
        for unit in range(left.seat.units):
            table.forget(unit)
        self._founding = False
        self._begin(table, Remains(()), start)
        for peer in alive:
            self.found(peer)

    def standing(self) -> Standing:
        """How this peer stands in the table."""
        replica = self.replica
        return standing(replica.seat, replica.owner, replica.roll)

    # World

    def time(self) -> float:
        """The machine's clock."""
        assert self._clockwork, "it was started"
        return self._clockwork.time()

    def alarm(self, at: float) -> None:
        """Wake the machine then."""
        assert self._clockwork, "it was started"
        self._clockwork.alarm(at)

    def perform(self, effect: Send[Said] | Cast[Said] | Meet | Emit[Fact]) -> None:
        """Make an effect happen."""
        if isinstance(effect, Send):
            said = effect.message
            if self._encoded[0] is not said.message:  # The same to many, mostly.
                self._encoded = said.message, self._encode(said)
            self._wires.post(effect.to, TOPIC, self._encoded[1])
        elif isinstance(effect, Emit):
            self.owners.changed()
            self.told(effect.fact)

    def _call(self, call: Callable[[float], Effects]) -> None:
        self._driver.call(call)
        self._went_on()

    def _wake(self) -> None:
        try:
            self._call(self.replica.wake)
        except Exception as error:
            self._fail(error)
