"""What becomes of keys: a connection that watches, and nothing else.

Each change comes once, in order, when it is safe; who cannot follow is cut off. So when
the connection ends, that is said, since something may have been missed.
"""

from collections.abc import Iterator, Sequence
from socket import create_connection

from hiredis import ProtocolError, Reader, ReplyError

from shoal.client import replies, requests
from shoal.client.wire import CHUNK_BYTES
from shoal.core.address import parse
from shoal.core.machine import Address
from shoal.errors import Unreachable

# A peer that says nothing is asked whether it is there; a guess.
SILENCE_S = 5.0

_MORE = object()

# A key, and what it has from now on.
Change = tuple[bytes, bytes | None]


class News:
    """Changes of some keys, from the moment it is made."""

    def __init__(
        self, address: Address, keys: Sequence[bytes], timeout_s: float
    ) -> None:
        self._address = address
        self._reader = Reader(notEnoughData=_MORE)
        self._told: list[Change] = []
        try:
            self._socket = create_connection(parse(address), timeout=timeout_s)
        except OSError as error:
            raise replies.lost(address, error, asked=False) from None
        self._timeout_s = timeout_s
        self._confirmed = 0
        try:
            self._send(requests.words_of(b"FEED", *keys))
            while self._confirmed < len(keys):
                self._hear()
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise replies.unanswered(address, timeout_s) from None
            raise

    def __iter__(self) -> Iterator[list[Change]]:
        """What has come, as soon as anything has."""
        quiet = False
        while True:
            while self._told:
                told, self._told = self._told, []
                yield told
            self._socket.settimeout(self._timeout_s if quiet else SILENCE_S)
            try:
                self._hear()
                quiet = False
            except TimeoutError:
                if quiet:
                    raise self._missed("it is silent") from None
                quiet = True
                self._send(requests.words_of(b"PING"))

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def _send(self, request: bytes) -> None:
        try:
            self._socket.sendall(request)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._missed(error) from None

    def _hear(self) -> None:
        try:
            data = self._socket.recv(CHUNK_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._missed(error) from None
        if not data:
            raise self._missed("it hung up")
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _MORE:
                self._take(reply)
        except ProtocolError:
            raise replies.foreign(self._address) from None

    def _take(self, reply: object) -> None:
        match reply:
            case ReplyError():
                raise replies.failure(self._address, reply)
            case [b"change", bytes(key), bytes() | None as value]:
                self._told.append((key, value))
            case [b"feed", *_]:
                self._confirmed += 1

    def _missed(self, why: object) -> Unreachable:
        text = str(getattr(why, "strerror", None) or why).lower()
        return Unreachable(
            f"peer {self._address}: the connection broke ({text}), and what happened "
            "since is not known; begin again"
        )
