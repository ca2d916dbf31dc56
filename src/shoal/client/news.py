"""What becomes of keys: a connection that watches, and nothing else.

Each change comes once, in order, when it is safe; who cannot follow is cut off. Then it
is begun again, at the same peer or at another of the network: what a key has by then is
told if it is another than what was told last. So after a fault values between may be
missing, and the last never is.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import count
from socket import create_connection, socket
from time import monotonic, sleep

from hiredis import ProtocolError, Reader, ReplyError

from shoal.client import replies, requests
from shoal.client.wire import CHUNK_BYTES
from shoal.core.address import parse
from shoal.core.machine import Address
from shoal.errors import Misuse, ShoalError, Unknown, Unreachable

# A peer that says nothing is asked whether it is there; a guess.
SILENCE_S = 5.0

# Somebody else owns the keys of a peer that has died within 5 s; for so long is tried
# to begin again, for so long at each peer, and that often.
AGAIN_S = 10.0
TRY_S = 3.0
REST_S = 0.2

_MORE = object()

# A key, and what it has from now on.
Change = tuple[bytes, bytes | None]


class News:
    """Changes of some keys, from the moment it is made."""

    def __init__(
        self, address: Address, keys: Sequence[bytes], timeout_s: float
    ) -> None:
        self._addresses = [address]
        self._keys = keys
        self._timeout_s = timeout_s
        self._told: list[Change] = []
        self._has: dict[bytes, bytes | None] = {}  # The digests of what was told last.
        self._socket: socket | None = None
        self._begin(address, timeout_s)

    def __iter__(self) -> Iterator[list[Change]]:
        """What has come, as soon as anything has."""
        while True:
            while self._told:
                told, self._told = self._told, []
                yield told
            try:
                self._wait()
            except Unknown as lost:
                self._begin_again(lost)

    def close(self) -> None:
        """Listen no more."""
        if self._socket:
            self._socket.close()
            self._socket = None

    # Beginning

    def _begin(self, address: Address, timeout_s: float) -> None:
        """Be told what each key has, and then what becomes of it."""
        self.close()
        self._address = address
        self._reader = Reader(notEnoughData=_MORE)
        self._confirmed = 0
        self._nodes = b""
        try:
            self._socket = create_connection(parse(address), timeout=timeout_s)
        except OSError as error:
            raise replies.lost(address, error, asked=False) from None
        try:
            # The rest of the network, for the time when this peer is gone.
            self._send(requests.nodes() + requests.words_of(b"FEED", *self._keys))
            while self._confirmed < len(self._keys):
                self._hear()
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise replies.unanswered(address, timeout_s) from None
            raise
        others = requests.others(self._nodes)
        known = [address, *others, *self._addresses[:1]]
        self._addresses = list(dict.fromkeys(known))

    def _begin_again(self, lost: Unknown) -> None:
        """At whoever is there: first where it was."""
        until = monotonic() + AGAIN_S
        addresses = self._addresses
        for turn in count():
            address = addresses[turn % len(addresses)]
            left_s = until - monotonic()
            if left_s <= 0:
                raise lost
            try:
                self._begin(address, min(left_s, TRY_S, self._timeout_s))
            except Misuse:
                raise
            except ShoalError:
                sleep(REST_S if turn % len(addresses) == len(addresses) - 1 else 0)
            else:
                return

    # The connection

    def _wait(self) -> None:
        """Until something has come; who is silent is asked whether it is there."""
        quiet = False
        while True:
            assert self._socket, "it was begun"
            self._socket.settimeout(self._timeout_s if quiet else SILENCE_S)
            try:
                self._hear()
            except TimeoutError:
                if quiet:
                    raise self._missed("it is silent") from None
                quiet = True
                self._send(requests.words_of(b"PING"))
            else:
                return

    def _send(self, request: bytes) -> None:
        assert self._socket, "it was begun"
        try:
            self._socket.sendall(request)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._missed(error) from None

    def _hear(self) -> None:
        assert self._socket, "it was begun"
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
            case bytes() if not self._nodes:
                self._nodes = reply
            case [b"change", bytes(key), bytes() | None as value]:
                self._has[key] = _digest(value)
                self._told.append((key, value))
            case [b"feed", bytes(key), bytes() | None as value]:
                self._confirmed += 1
                digest = _digest(value)
                if self._has.setdefault(key, digest) != digest:
                    self._has[key] = digest
                    self._told.append((key, value))

    def _missed(self, why: object) -> Unreachable:
        text = str(getattr(why, "strerror", None) or why).lower()
        return Unreachable(
            f"peer {self._address}: the connection broke ({text}), and what happened "
            "since is not known; begin again"
        )


def _digest(value: bytes | None) -> bytes | None:
    """As good as the value, and as short as a promise to remember all of them needs."""
    return None if value is None else blake2b(value, digest_size=16).digest()
