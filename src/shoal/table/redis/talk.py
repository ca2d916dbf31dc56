"""A conversation with one Redis client: bytes come in, replies go out.

Most of what a table is asked is GET and SET, so these two are answered here, by a
lookup and a line for the log each, before anything general is tried; it costs half as
much. Parsing is hiredis's work.
"""

import re
from binascii import crc_hqx
from collections.abc import Callable

import hiredis

from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES, SLOTS
from shoal.table.redis import inline
from shoal.table.redis.commands import KeyCommand, TalkCommand, lookup
from shoal.table.redis.replies import OK, CommandError, encode, error, nothing
from shoal.table.redis.server import Client, RedisServer

# Longer unfinished requests are refused: eight of the longest values.
MAX_REQUEST_BYTES = 8 * MAX_VALUE_BYTES

# So much is answered before anybody looks whether the client reads it.
MAX_REPLY_BYTES = 1 << 20

# hiredis makes a list of any length it is told before the first item is there: a
# million and more is refused before hiredis sees it, as Redis refuses it.
_TOO_MANY = re.compile(rb"\*[1-9][0-9]{6,}\r")
_HEADER_BYTES = 24

_ASTERISK = ord("*")
_MASK = SLOTS - 1
_MORE = object()

Words = list[bytes]


class RedisTalk:
    """One client."""

    def __init__(self, server: RedisServer, client: Client) -> None:
        self.server = server
        self.client = client
        self.ended = False
        self.paused = False
        self.answered = 0
        self._table = server.table
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._unfinished = 0  # Bytes of requests not yet answered.
        self._tail = b""
        self._typed = b""
        self._told = 0  # Long replies since we last looked whether they are read.

    def hear(self, data: bytes) -> bytes:
        """Carry out every whole request, and answer them in order."""
        replies: list[bytes] = []
        self._told, self.paused = 0, False
        try:
            if self._typed or (data and not self._unfinished and data[0] != _ASTERISK):
                data = self._hear_typed(data, replies)
            if data:
                self._feed(data)
            self._answer_all(replies, len(data))
        except hiredis.ProtocolError as wrong:
            replies.append(error(f"ERR Protocol error: {wrong}"))
            self.ended = True
        self.answered = len(replies)
        return replies[0] if len(replies) == 1 else b"".join(replies)

    def refused(self, count: int, why: str) -> bytes:
        """So many errors."""
        return error(why) * count

    def close(self) -> None:
        """The client has gone."""
        self.server.forget(self.client)

    def _feed(self, data: bytes) -> None:
        if _TOO_MANY.search(self._tail + data if self._unfinished else data):
            raise hiredis.ProtocolError("invalid multibulk length")
        self._unfinished += len(data)
        self._tail = data[-_HEADER_BYTES:]
        if self._unfinished > MAX_REQUEST_BYTES:
            raise hiredis.ProtocolError("too big request")
        self._reader.feed(data)

    def _answer_all(self, replies: list[bytes], received: int) -> None:
        requests, append, hot, answer = (
            self._reader.gets,
            replies.append,
            _HOT.get,
            RedisTalk._answer,
        )
        while (words := requests()) is not _MORE:
            try:
                run = hot(words[0], answer)
            except (TypeError, IndexError):
                run = answer
            append(run(self, words))
            if self._told > MAX_REPLY_BYTES or self.ended:
                self.paused = True
                return
        if not self._reader.has_data():
            self._unfinished = 0
        elif replies:
            self._unfinished = min(self._unfinished, received)

    def _hear_typed(self, data: bytes, replies: list[bytes]) -> bytes:
        """Answer what is typed by hand, a line each; returns what is not."""
        self._typed += data
        while self._typed and self._typed[0] != _ASTERISK:
            line, newline, rest = self._typed.partition(b"\n")
            if not newline:
                if len(line) > inline.MAX_LINE_BYTES:
                    raise hiredis.ProtocolError("too big inline request")
                return b""
            self._typed = rest
            if words := inline.split(line.removesuffix(b"\r")):
                replies.append(self._answer(words))
        rest, self._typed = self._typed, b""
        return rest

    # The two that are most of the work

    def _get(self, words: Words) -> bytes:
        if len(words) != 2 or type(words[1]) is not bytes:
            return self._answer(words)
        key, table = words[1], self._table
        entry = table.slots[crc_hqx(key, 0) & _MASK].get(key)
        if entry is None or entry.deadline_ms or table.dirty:
            entry = table.find(key)  # In its other slot, ended, or not safe yet?
            if entry is None:
                return nothing(self.client.version)
        value = entry.value
        if len(value) > 1024:
            self._told += len(value)
        return b"$%d\r\n%b\r\n" % (len(value), value)

    def _set(self, words: Words) -> bytes:
        if len(words) != 3:
            return self._answer(words)
        _, key, value = words
        if (
            type(key) is not bytes
            or type(value) is not bytes
            or len(value) > MAX_VALUE_BYTES
            or len(key) > MAX_KEY_BYTES
        ):
            return self._answer(words)
        self._table.put(key, value)
        if self._table.told:
            self._table.tell("set", key)
        return OK

    # Everything else

    def _answer(self, words: Words) -> bytes:
        if not words:
            return b""
        if type(words) is not list or any(type(word) is not bytes for word in words):
            raise hiredis.ProtocolError("expected '$'")
        try:
            match lookup(self.server.commands, words):
                case KeyCommand(run=run):
                    value = run(self._table, words[1:])
                case TalkCommand(run=run):
                    value = run(self, words[1:])
            reply = encode(value, self.client.version)
        except CommandError as wrong:
            reply = error(str(wrong))
        self._told += len(reply)
        return reply


_HOT: dict[bytes, Callable[[RedisTalk, Words], bytes]] = {
    b"GET": RedisTalk._get,
    b"get": RedisTalk._get,
    b"SET": RedisTalk._set,
    b"set": RedisTalk._set,
}
