"""The streams of a peer: to begin one, and to serve those that others begin.

Where we cannot dial a peer, we ask it to dial us.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from shoal.core.handshake import STREAM
from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import MalformedMessage, Unanswered, Unreachable
from shoal.net.dialler import DIAL_S
from shoal.net.link import Link
from shoal.net.links import Links
from shoal.net.stream import Opening, Stream

_encode = msgspec.msgpack.Encoder().encode

# The topic and the purpose of a stream whose other side has to dial.
BACK = "stream-back"

_number = msgspec.msgpack.Decoder(Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")])

Serve = Callable[[Stream, Raw], Awaitable[None]]


class Streams:
    """The streams of a peer, served by topic."""

    def __init__(self, links: Links, fail: Callable[[Exception], None]) -> None:
        self._links = links
        self._handlers: dict[str, Serve] = {}
        self._fail = fail
        self._tasks: dict[asyncio.Future[None], None] = {}
        self._awaited: dict[str, asyncio.Future[Link]] = {}
        links.streamed = self._accept
        links.serve(BACK, self._dial_back)

    def serve(self, topic: str, handler: Serve) -> None:
        """Say who serves streams of a topic."""
        self._handlers[topic] = handler

    async def open(self, to: PeerId, topic: str, head: bytes) -> Stream:
        """Begin a stream with a peer; if we cannot dial it, it dials us."""
        link = await self._links.dial(to, STREAM) or await self._called_back(to)
        stream = Stream(link.peer, None)
        _take_over(link, stream, b"")
        stream.open(topic, head)
        return stream

    def stop(self) -> None:
        """End them all."""
        for task in list(self._tasks):
            task.cancel()

    # A peer that cannot be dialled

    async def _called_back(self, peer: PeerId) -> Link:
        number = secrets.token_hex(8)
        awaited: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._awaited[number] = awaited
        try:
            await self._links.ask(peer, BACK, _encode(number), within_s=DIAL_S * 2)
            async with asyncio.timeout(DIAL_S):
                return await awaited
        except TimeoutError:
            raise Unreachable(f"{peer} cannot be dialled, nor dial us") from None
        finally:
            del self._awaited[number]

    async def _dial_back(self, peer: PeerId, body: Raw) -> bytes:
        number = decoded(_number, body)
        link = await self._links.dial(peer, f"{BACK}-{number}")
        if link is None:
            raise Unreachable(f"{peer} cannot be dialled either; open its port")
        self._serve_on(link, b"")
        return b"\xc0"

    def _accept(self, link: Link, rest: bytes) -> bool:
        """A greeted connection is to be a stream, begun by either side."""
        if link.purpose == STREAM:
            self._serve_on(link, rest)
            return True
        awaited = self._awaited.get(link.purpose.removeprefix(f"{BACK}-"))
        if awaited and not awaited.done():
            awaited.set_result(link)
            return True
        return False

    # Serving

    def _serve_on(self, link: Link, rest: bytes) -> None:
        _take_over(link, Stream(link.peer, self._opened), rest)

    def _opened(self, stream: Stream, opening: Opening) -> None:
        handler = self._handlers.get(opening.topic)
        if handler is None:
            stream.abort()
            return
        task = asyncio.ensure_future(self._serve(handler, stream, opening.head))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _serve(self, handler: Serve, stream: Stream, head: Raw) -> None:
        try:
            await handler(stream, head)
        except (Unreachable, Unanswered, MalformedMessage):
            stream.abort()
        except Exception as error:
            stream.abort()
            self._fail(error)
        finally:
            stream.close()


def _take_over(link: Link, stream: Stream, rest: bytes) -> None:
    if link.closed:
        raise Unreachable(f"{link.peer} closed the connection at once")
    # Reading stops so that it begins again into the stream's own buffers.
    link.transport.pause_reading()
    link.transport.set_protocol(stream)
    stream.connection_made(link.transport)
    link.transport.resume_reading()
    stream.feed(rest)
