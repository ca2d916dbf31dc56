"""One connection between two peers: greetings first, then messages both ways.

Written on the hot path: no task, no future and no copy per message that a plain call
can do without. Everything written in one turn of the loop leaves in one write.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from shoal.core import hello, links
from shoal.core.frames import MAX_FRAME_BYTES, FrameReader, framed
from shoal.core.handshake import Handshake
from shoal.core.hello import MAX_HELLO_BYTES, Decline, Greeting, Hello, Invitation
from shoal.core.links import MAX_BATCH, Goodbye, LinkMessage
from shoal.core.machine import PeerId
from shoal.errors import Misbehaviour, Overloaded

# Beyond this much unwritten, a peer is too slow for more: what may be lost is.
HIGH_WATER_BYTES = 1 << 20
BRIM_BYTES = 64 << 20


class LinkOwner(Protocol):
    """Who is told what becomes of a link. Exceptions end the peer, loudly."""

    def trusted(self, link: "Link", rest: bytes) -> None:
        """The other end is who it says. `rest` was sent after its proof."""

    def received(self, link: "Link", messages: list[LinkMessage]) -> None:
        """Messages came, together."""

    def closed(self, link: "Link") -> None:
        """The connection is over."""

    def fail(self, error: Exception) -> None:
        """A bug."""


class Link(asyncio.Protocol):
    """A connection that is, or may become, a link."""

    def __init__(
        self,
        owner: LinkOwner,
        handshake: Handshake,
        *,
        purpose: str | None = None,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """`purpose` if we dialled; `settled` is called once the other is trusted."""
        self._owner = owner
        self._handshake = handshake
        self._settled = settled
        self._purpose = purpose
        self._reader = FrameReader(MAX_HELLO_BYTES)
        self._loop = asyncio.get_running_loop()
        self._outgoing: list[LinkMessage] = []
        self._gathering = False
        self.transport: asyncio.Transport
        self.dialled = purpose is not None
        self.greeted: asyncio.Future[None] = self._loop.create_future()
        self.them: Hello | None = None
        self.refusal: Exception | None = None
        self.said_goodbye = False
        self.full = False
        self.closed = False
        self.born = self._loop.time()

    @property
    def peer(self) -> PeerId:
        """Who is at the other end."""
        assert self.them, "not greeted yet"
        return self.them.peer

    @property
    def purpose(self) -> str:
        """What whoever dialled wants of this connection."""
        assert self.them, "not greeted yet"
        return self._purpose or self.them.purpose

    def write(self, message: LinkMessage) -> None:
        """Send at once what is written first, and the rest of a turn in batches."""
        if self._gathering:
            self._outgoing.append(message)
            if len(self._outgoing) == MAX_BATCH:
                self._send()
        elif not self.closed:
            self._gathering = True
            self._loop.call_soon(self._flush)
            self.transport.write(links.encode_frames([message]))

    @property
    def brimful(self) -> bool:
        """Is so much unwritten that nothing more should be added?"""
        return self.full and self.transport.get_write_buffer_size() > BRIM_BYTES

    def close(self, why: str) -> None:
        """Close on purpose, and say so."""
        if self.closed:
            return
        if self.them:
            self.write(Goodbye(why[:80]))
            self._send()
        self.said_goodbye = True
        self.transport.close()

    def _flush(self) -> None:
        self._gathering = False
        self._send()

    def _send(self) -> None:
        if self._outgoing:
            outgoing, self._outgoing = self._outgoing, []
            if not self.closed:
                self.transport.write(links.encode_frames(outgoing))
            if self.brimful:
                self.refusal = Overloaded(f"{BRIM_BYTES} bytes wait unread")
                self.transport.abort()

    def _greet(self, greetings: list[Greeting]) -> None:
        if greetings:
            said = b"".join(framed(hello.encode(each)) for each in greetings)
            self.transport.write(said)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello, if we dialled."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(HIGH_WATER_BYTES)
        self._greet(self._handshake.begin())

    def data_received(self, data: bytes) -> None:
        """Take every whole frame; the answers leave together."""
        self._gathering = True
        try:
            frames = self._reader.feed(data)
            for at, body in enumerate(frames):
                if self.them is None:
                    self._take_greeting(hello.decode(body))
                    if self.them:
                        self._trust(frames[at + 1 :])
                        return
                else:
                    self._owner.received(self, links.decode(body))
        except Misbehaviour as error:
            self._refuse(error)
        except Exception as error:
            self._owner.fail(error)
        finally:
            self._flush()

    def _take_greeting(self, greeting: Greeting) -> None:
        answers = self._handshake.receive(greeting)
        self._greet(answers)
        if any(isinstance(each, Invitation) for each in answers):
            self.transport.close()
        self.them = self._handshake.them

    def _trust(self, later: list[bytes]) -> None:
        self._reader.limit = MAX_FRAME_BYTES
        rest = b"".join(map(framed, later)) + self._reader.rest()
        self._settled()
        self._owner.trusted(self, rest)
        if not self.greeted.done():
            self.greeted.set_result(None)

    def _refuse(self, error: Exception) -> None:
        self.refusal = error
        if self.them is None and not self.closed:
            self._greet([Decline(str(error)[:300])])
        self.transport.close()

    def pause_writing(self) -> None:
        """The other end is slow."""
        self.full = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self.full = False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the owner, once."""
        self.closed = True
        if not self.greeted.done():
            why = self.refusal or ConnectionResetError("it closed at once")
            self.greeted.set_exception(why)
            self.greeted.exception()  # Nobody need be waiting.
        try:
            self._owner.closed(self)
        except Exception as bug:
            self._owner.fail(bug)
