"""The table in verbs and frames: what a prompt says, and what it is told.

The four bytes of length and the words are all there is to it (docs/protocols). Whatever
interrupts a call ends the connection; the next call makes another.
"""

from socket import IPPROTO_TCP, TCP_NODELAY, create_connection, socket
from time import monotonic

from hiredis import ReplyError

from shoal.client import replies
from shoal.client.requests import key_of, value_of
from shoal.client.wire import CHUNK_BYTES
from shoal.core.address import parse
from shoal.core.frames import FrameReader, framed
from shoal.core.machine import Address
from shoal.errors import MalformedMessage

_ERROR, _NONE, _SUCCESS, _FOUND = b"ERROR ", b"NONE", b"SUCCESS", b"="


class Verbs:
    """One connection that speaks in verbs, for one caller at a time."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._socket: socket | None = None
        self._reader = FrameReader()

    def put(self, key: bytes, value: bytes) -> bool:
        """Let a key have that."""
        request = b"put %b %b" % (key_of(key), value_of(value))
        return self._ask(request) == _SUCCESS

    def get(self, key: bytes) -> bytes | None:
        """What a key has, if anything."""
        value = self._ask(b"get %b" % key_of(key))
        if value != _NONE and not value.startswith(_ERROR):
            return value
        found = self._ask(b"find %b" % key)  # Or is this its very value?
        return None if found == _NONE else found.removeprefix(_FOUND)

    def delete(self, key: bytes) -> bool:
        """Let a key have nothing; False if it had nothing."""
        return self._ask(b"rem %b" % key_of(key)) == _SUCCESS

    def keys(self) -> list[bytes]:
        """All keys, if they fit into a frame."""
        listing = self._ask(b"keys")
        return listing.split(b"\n") if listing else []

    def close(self) -> None:
        """Give the connection back."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _ask(self, request: bytes) -> bytes:
        until = monotonic() + self._timeout_s
        wire = self._socket or self._connect()
        try:
            wire.settimeout(self._timeout_s)
            wire.sendall(framed(request))
            reply = self._receive(wire, until)
        except TimeoutError:
            self.close()
            raise replies.unanswered(self.address, self._timeout_s) from None
        except (OSError, EOFError) as error:
            self.close()
            raise replies.lost(self.address, error, asked=True) from None
        except BaseException:
            self.close()
            raise
        if reply.startswith(_ERROR) and not request.startswith(b"get "):
            why = reply.removeprefix(_ERROR).decode(errors="replace")
            raise replies.failure(self.address, ReplyError(why))
        return reply

    def _receive(self, wire: socket, until: float) -> bytes:
        while True:
            data = wire.recv(CHUNK_BYTES)
            if not data:
                raise EOFError("it hung up")
            try:
                frames = self._reader.feed(data)
            except MalformedMessage:  # A frame begins with a nought, this does not.
                raise replies.at_the_door(self.address, data) from None
            if frames:
                return frames[0]
            wire.settimeout(max(0.001, until - monotonic()))

    def _connect(self) -> socket:
        self._reader = FrameReader()
        try:
            fresh = create_connection(parse(self.address), timeout=self._timeout_s)
        except OSError as error:
            raise replies.lost(self.address, error, asked=False) from None
        fresh.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._socket = fresh
        return fresh
