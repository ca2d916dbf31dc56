"""Text in frames: a verb, a space, the rest. One reply a frame, in order."""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from shoal.core.frames import FrameReader, framed
from shoal.errors import MalformedMessage

log = logging.getLogger(__name__)

# A value of 8 MiB, a key of 64 KiB, the verb and two spaces.
MAX_REQUEST_BYTES = (8 << 20) + (64 << 10) + 64

# Without a table there is nothing to put: a verb is short.
MAX_VERB_BYTES = 1 << 10

# Beyond this much unread by the client, its requests wait unread too.
BACKLOG_BYTES = 1 << 20

Answer = Callable[[bytes], bytes]


class TextFrames(asyncio.Protocol):
    """Answers each frame with a frame."""

    def __init__(
        self,
        answer: Answer,
        settled: Callable[[], None],
        longest: int = MAX_REQUEST_BYTES,
    ) -> None:
        self._answer = answer
        self._settled = settled
        self._reader = FrameReader(longest)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over from the door."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(BACKLOG_BYTES)

    def data_received(self, data: bytes) -> None:
        """Answer every whole frame."""
        try:
            requests = self._reader.feed(data)
        except MalformedMessage as error:
            self._transport.write(framed(f"ERROR {error}".encode()))
            self._transport.close()
            return
        if requests:
            self._settled()
            replies = [framed(self._answer(request)) for request in requests]
            self._transport.write(b"".join(replies))

    def pause_writing(self) -> None:
        """The client does not read: let its requests wait too."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._transport.resume_reading()


def no_table(request: bytes) -> bytes:
    """What a peer without a table answers to every verb."""
    verb = request.partition(b" ")[0][:32].decode(errors="replace")
    return f"ERROR unknown verb {verb!r}: this peer keeps no table".encode()
