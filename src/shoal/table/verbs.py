"""Text in frames: a verb, a space, the rest. One reply a frame, in order.

A stored NONE looks like a missing key to `get`, so there is `find`, which does not
mix them up. A key that is put has no space in it: who minds speaks Redis's protocol.
"""

from collections import deque

from shoal.core.frames import FrameReader, framed
from shoal.errors import MalformedMessage
from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES
from shoal.table.protocol import Table
from shoal.table.redis.replies import value_in, why_not
from shoal.table.routes import HERE, Abroad
from shoal.table.turns import Merge, Turn

# The longest key and value, the verb and two spaces.
MAX_REQUEST_BYTES = MAX_VALUE_BYTES + MAX_KEY_BYTES + 64

# All keys go into one frame, up to this; more is listed by `shoal keys`.
MAX_LISTING_BYTES = MAX_VALUE_BYTES

# So much is answered before anybody looks whether the client reads it.
MAX_REPLY_BYTES = 1 << 20

# What a request costs beside its words and its reply, in bytes of replies: 2 us.
_REQUEST_WORK = 400

_SUCCESS, _FAILURE, _NONE, _FOUND = b"SUCCESS", b"FAILURE", b"NONE", b"="


class VerbsTalk:
    """One client that speaks in verbs."""

    def __init__(self, table: Table, abroad: Abroad | None = None) -> None:
        self.ended = self.paused = False
        self.answered = 0
        self.turn: Turn | None = None
        self._table = table
        self._abroad = None if abroad is None or abroad.routes.whole else abroad
        self._at = 0  # Which answer of its turn is given now.
        self._reader = FrameReader(MAX_REQUEST_BYTES)
        self._asked: deque[bytes] = deque()
        self._broken = b""  # Why no more is asked, once it is told.

    def hear(self, data: bytes) -> bytes:
        """Answer every whole frame, as much as can be read at once."""
        try:
            self._asked.extend(self._reader.feed(data))
        except MalformedMessage as error:
            self._broken = _error(str(error))
        replies: list[bytes] = []
        told = 0
        while self._asked and told <= MAX_REPLY_BYTES:
            request = self._asked.popleft()
            self._at = len(replies)
            replies.append(self._answer(request))
            told += len(replies[-1] or request) + _REQUEST_WORK
        self.paused = bool(self._asked)
        if self._broken and not self.paused:
            replies.append(self._broken)
            self.ended = True
        self.answered = len(replies)
        if self.turn:
            self.turn.replies = replies
        return b"".join(replies)

    def refused(self, count: int, why: str) -> bytes:
        """So many errors."""
        return _error(why) * count

    def close(self) -> None:
        """Nothing is kept of a client."""

    def _answer(self, request: bytes) -> bytes:
        verb, _, rest = request.partition(b" ")
        match verb:
            case b"put":
                key, space, value = rest.partition(b" ")
                if not space:
                    return _error("put needs a key and a value: put KEY VALUE")
                return self._put(key, value)
            case b"get":
                if self._sent(rest, _got, b"GET", rest):
                    return b""
                entry = self._table.find(rest)
                return framed(entry.value if entry else _NONE)
            case b"find":
                if self._sent(rest, _found, b"GET", rest):
                    return b""
                entry = self._table.find(rest)
                return framed(_FOUND + entry.value if entry else _NONE)
            case b"rem":
                if self._sent(rest, _removed, b"DEL", rest, changes=True):
                    return b""
                gone = self._table.find(rest) is not None and self._table.drop(rest)
                return framed(_SUCCESS if gone else _FAILURE)
            case b"keys" if not rest:
                return self._keys()
        name = verb[:32].decode(errors="replace")
        return _error(f"unknown verb {name!r}; there are put, get, find, rem, keys")

    def _put(self, key: bytes, value: bytes) -> bytes:
        if len(key) > MAX_KEY_BYTES or len(value) > MAX_VALUE_BYTES:
            return _error(
                f"at most {MAX_KEY_BYTES} bytes are a key, {MAX_VALUE_BYTES} a value"
            )
        if self._sent(key, _put, b"SET", key, value, changes=True):
            return b""
        self._table.put(key, value)
        return framed(_SUCCESS)

    def _sent(
        self, key: bytes, merge: Merge, *words: bytes, changes: bool = False
    ) -> bool:
        """Is the key elsewhere, and somebody asked there?"""
        abroad = self._abroad
        if abroad is None or abroad.routes.owner(key) is HERE:
            return False
        if self.turn is None:
            self.turn = abroad.begin()
        self.turn.ask(key, 2, list(words), changes=changes)
        self.turn.leave(self._at, merge)
        return True

    def _keys(self) -> bytes:
        self._table.rest_on_all()
        full = (n for n, entries in enumerate(self._table.slots) if entries)
        keys = [key for slot in full for key, _ in self._table.living(slot)]
        listing = b"\n".join(keys)
        if len(listing) > MAX_LISTING_BYTES:
            return _error(f"{len(keys)} keys are too many for a frame: shoal keys")
        return framed(listing)


# What others answered, in frames


def _got(answers: list[bytes]) -> bytes:
    value = value_in(answers[0])
    return _framed(answers[0], _NONE if value is None else value)


def _found(answers: list[bytes]) -> bytes:
    value = value_in(answers[0])
    return _framed(answers[0], _NONE if value is None else _FOUND + value)


def _put(answers: list[bytes]) -> bytes:
    return _framed(answers[0], _SUCCESS)


def _removed(answers: list[bytes]) -> bytes:
    return _framed(answers[0], _SUCCESS if answers[0] == b":1\r\n" else _FAILURE)


def _framed(answer: bytes, reply: bytes) -> bytes:
    why = why_not(answer)
    return framed(reply) if why is None else _error(why)


def _error(why: str) -> bytes:
    return framed(f"ERROR {why}".encode())
