"""A conversation with one Redis client: bytes come in, replies go out.

Most of what a table is asked is GET and SET, so these two are answered here, by a
lookup and a line for the log each, before anything general is tried; it costs half as
much. Parsing is hiredis's work.
"""

from binascii import crc_hqx
from collections.abc import Iterator, Mapping
from itertools import chain

import hiredis

from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES, SLOTS
from shoal.table.redis import inline
from shoal.table.redis.commands import TURN_BYTES, KeyCommand, TalkCommand, lookup
from shoal.table.redis.dispatch import dispatch
from shoal.table.redis.heads import Heads
from shoal.table.redis.lone import lone, same
from shoal.table.redis.mistakes import misplaced, worded
from shoal.table.redis.replies import LATER, OK, CommandError, encode, error, nothing
from shoal.table.redis.server import Caller, Client, RedisServer
from shoal.table.routes import HERE
from shoal.table.turns import Merge, Turn, Unasked

# Longer unfinished requests are refused: eight of the longest values.
MAX_REQUEST_BYTES = 8 * MAX_VALUE_BYTES

# What a command and each of its words cost, in bytes of replies: 3 us and 1 us.
_COMMAND_WORK = 640
_WORD_WORK = 192

# What it costs to ask another peer, here and there: 5 us.
_FAR_WORK = 1024

_ASTERISK = ord("*")
_FRAMED = b"*$"  # How a request begins, and how it goes on.
_MASK = SLOTS - 1
_MORE = object()

Words = list[bytes]


class RedisTalk:
    """One client."""

    def __init__(self, server: RedisServer, caller: Caller) -> None:
        self.server = server
        self.client: Client = server.welcome(caller, self._push)
        self.ended = False
        self.paused = False
        self.answered = 0
        self.turn: Turn | None = None  # Of which others are to answer a part.
        self.merge: Merge | None = None  # How, of what has just been sent to them.
        self.published_after = 0  # The batch its last message waits for, if any.
        self._caller = caller
        self._table = server.table
        self._routes = server.abroad.routes
        self._replies: list[bytes] | None = None  # While requests are carried out.
        self._pushed = 0  # So many of them were not asked for.
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._heads = Heads()
        self._begun = False  # A request is, and the rest of it comes.
        self._clear = True  # Surely nothing is: the reader has told.
        self._last: Words = []  # What it understood last.
        self._unfinished = 0  # Bytes of requests not yet answered.
        self._received = 0  # Of these, since all that was whole was answered.
        self._postponed: list[Words] = []  # For a turn of its own.
        self._turn_over = False
        self._work = 0  # What the last command cost beside its reply.
        self._typed = b""

    def hear(self, data: bytes) -> bytes:
        """Carry out every whole request, and answer them in order."""
        alone = None if self._begun or self._typed or self.paused else lone(data)
        if alone and self._clear and self.client.plain and self._table.told is None:
            if self._routes.whole or self._routes.owner(alone[0]) is HERE:
                return self._answer_lone(*alone)
            return self._send_lone(*alone)
        replies: list[bytes] = []
        self._received = len(data) + (self._received if self.paused else 0)
        self._replies, self._pushed, self.paused = replies, 0, False
        self._turn_over = False
        try:
            if self._typed or (data and not self._begun and data[0] not in _FRAMED):
                data = self._hear_typed(data, replies)
            if data:
                self._feed(data)
            self._answer_all(replies)
            self._look_what_is_left(replies)
        except MemoryError:
            replies.append(error("ERR Protocol error: too big request"))
            self.ended = True
        except hiredis.ProtocolError as wrong:
            replies.append(error(f"ERR Protocol error: {worded(wrong)}"))
            self.ended = True
        self._replies = None
        # Where a list ends within a request, the reader does not say so.
        self._clear = alone is not None and same(alone, self._last)
        self.answered = len(replies) - replies.count(b"") - self._pushed
        if self.turn:
            self.turn.replies = replies
            self.answered += self.turn.holes
        self.server.answered += self.answered
        return replies[0] if len(replies) == 1 else b"".join(replies)

    def refused(self, count: int, why: str) -> bytes:
        """So many errors."""
        return error(why) * count

    def close(self) -> None:
        """The client has gone."""
        self.server.forget(self.client)

    def _push(self, news: bytes) -> None:
        """What the client itself causes comes after what it was answered before."""
        if self._replies is None:
            self._caller.push(news)
        else:
            self._replies.append(Unasked(news))
            self._pushed += 1

    def _feed(self, data: bytes) -> None:
        self._heads.see(data)
        self._unfinished += len(data)
        if self._unfinished > MAX_REQUEST_BYTES:
            raise hiredis.ProtocolError("too big request")
        self._reader.feed(data)

    def _answer_lone(self, key: bytes, value: bytes | None) -> bytes:
        self.answered = 1
        self.server.answered += 1
        if value is not None:
            self._table.put(key, value)
            return OK
        if entry := self._table.find(key):
            return b"$%d\r\n%b\r\n" % (len(entry.value), entry.value)
        return nothing(self.client.version)

    def _send_lone(self, key: bytes, value: bytes | None) -> bytes:
        self.answered = 1
        self.server.answered += 1
        turn = self.travel()
        words = [b"GET", key] if value is None else [b"SET", key, value]
        turn.ask(key, self.client.version, words, changes=value is not None)
        turn.leave(0)
        turn.replies.append(b"")
        return b""

    def _answer_all(self, replies: list[bytes]) -> None:
        """GET and SET are carried out in this loop: a call for each costs a tenth."""
        append, table, told, dirty = replies.append, self._table, 0, self._table.dirty
        slots, none, hot = table.slots, nothing(self.client.version), self._hot()
        words: Words = []
        for words in self._requests():
            try:
                verb = hot.get(words[0])
                if verb is _GET:
                    _, key = words
                    entry = slots[crc_hqx(key, 0) & _MASK].get(key)
                    if entry is None or entry.deadline_ms or dirty:
                        entry = table.find(key)  # Elsewhere, ended, or not safe yet?
                    if entry is None:
                        append(none)
                        continue
                    value = entry.value
                    append(b"$%d\r\n%b\r\n" % (len(value), value))
                    told += len(value)
                    if told < TURN_BYTES:
                        continue
                elif verb is _SET:
                    _, key, value = words
                    if _fit(key, value):
                        table.put(key, value)
                        append(OK)
                        continue
                elif verb is _FAR and (cost := self._answer_far(words, replies)):
                    told += cost
                    if told < TURN_BYTES:
                        continue
            except (TypeError, ValueError, LookupError):
                pass  # Not the words of a GET or SET: what they are is found out below.
            if told < TURN_BYTES:
                append(reply := self._answer(words))
                told += len(reply) + self._work
                slots, none = table.slots, nothing(self.client.version)
                hot = self._hot()
            if told >= TURN_BYTES or self._is_over():
                self.paused = True
                break
        self._last = words if type(words) is list else []

    def _is_over(self) -> bool:
        """Is no more of what was said to be carried out in this turn?"""
        return self.ended or self._turn_over or self._table.burdened

    def _requests(self) -> Iterator[Words]:
        """What is whole, after what was put off."""
        plain: Iterator[Words] = iter(self._reader.gets, _MORE)
        requests = self._wary() if self._heads.marked else plain
        if self._postponed:
            requests, self._postponed = chain(self._postponed, requests), []
        return requests

    def _wary(self) -> Iterator[Words]:
        """Requests, where hiredis may be told of keys that cannot be any."""
        try:
            yield from iter(self._reader.gets, _MORE)
        except TypeError:
            raise hiredis.ProtocolError("expected '$'") from None

    def _look_what_is_left(self, replies: list[bytes]) -> None:
        """Of requests that are not whole, or not to be answered yet."""
        # Cut behind a `$`, the reader holds nothing, and what follows is a length.
        unread = self._reader.has_data() or bool(self._postponed)
        if self._turn_over and not (unread or self._typed or self.ended):
            self.paused = False
        self._begun = unread or bool(self._heads.cut)
        if not self._begun:
            self._heads.forget()
        if not unread:
            # It may be in the midst of a request all the same: of a list's items.
            self._unfinished = 0 if replies else self._unfinished
        elif replies:
            self._unfinished = min(self._unfinished, self._received)

    def _hot(self) -> Mapping[bytes, str]:
        """What may be answered in the loop: nothing where more than that is to do."""
        if not self.client.plain or self._table.told is not None:
            return _COLD
        return _HOT if self._routes.whole else _FARTHER

    def _hear_typed(self, data: bytes, replies: list[bytes]) -> bytes:
        """Answer what is typed by hand, a line each; returns what is not."""
        typed, at, told = self._typed + data, 0, 0
        while at < len(typed) and typed[at] != _ASTERISK:
            end = typed.find(b"\n", at)
            if end < 0 and len(typed) - at > inline.MAX_LINE_BYTES:
                raise hiredis.ProtocolError("too big inline request")
            over = told >= TURN_BYTES or self.ended or self._turn_over
            if end < 0 or over:
                self.paused, self._typed = end >= 0, typed[at:]
                return b""
            if words := inline.split(typed[at:end].removesuffix(b"\r")):
                replies.append(self._answer(words))
                told += len(replies[-1]) + self._work
                if self._postponed:
                    self._postponed.clear()
                    continue  # It is still the next line.
            at = end + 1
        self._typed = b""
        return typed[at:]

    def _answer_far(self, words: Words, replies: list[bytes]) -> int:
        """A GET or SET, wherever its key is: at half the cost of whatever command.

        What it cost; nothing was done, if it is no such.
        """
        key = words[1]
        value = words[2] if len(words) == 3 else None
        if len(words) != _LENGTHS[words[0]] or not _fit(key, value or b""):
            return 0
        if self._routes.owner(key) is not HERE:
            turn = self.travel()
            turn.ask(key, self.client.version, words, changes=value is not None)
            turn.leave(len(replies))
            replies.append(b"")
            return _FAR_WORK if turn.size_bytes < TURN_BYTES else TURN_BYTES
        if value is not None:
            self._table.put(key, value)
            replies.append(OK)
            return _COMMAND_WORK
        entry = self._table.find(key)
        found = nothing(self.client.version) if entry is None else entry.value
        replies.append(
            found if entry is None else b"$%d\r\n%b\r\n" % (len(found), found)
        )
        return _COMMAND_WORK + len(found)

    def _has_to_wait(self, command: KeyCommand | TalkCommand) -> bool:
        """No answer of its turn may be refused: what it changes is not undone.

        Nor may any be missing: what it tells, of itself or to others, comes after.
        """
        if not isinstance(command, TalkCommand):
            return False
        own = command.changes and self._table.logged
        self._turn_over |= own or self.turn is not None
        return self.turn is not None or (own and self._table.rests_on > 0)

    def spend(self, work: int) -> None:
        """A command costs so much more than was known, in bytes of replies."""
        self._work += work

    def _answer(self, words: Words) -> bytes:
        if not words:
            return b""
        if type(words) is not list or any(type(word) is not bytes for word in words):
            raise misplaced(words)
        client, silent = self.client, False
        self._work = _COMMAND_WORK + _WORD_WORK * len(words)
        try:
            command, rest = lookup(self.server.commands, words)
            if self._has_to_wait(command):
                self._postponed.append(words)
                return b""
            silent = client.silent()
            self._work += command.work
            client.check(command.name)
            match command:
                case KeyCommand(run=run):
                    if not self._routes.whole and dispatch(self, command, words):
                        return self._leave(silent or client.mute)
                    value = run(self._table, rest)
                case TalkCommand(run=run):
                    value = run(self, rest)
                    if value is LATER:
                        return self._leave(silent or client.mute)
            reply = encode(value, client.version)
        except CommandError as wrong:
            silent = silent or client.silent()
            reply = error(str(wrong))
        return b"" if silent or client.mute else reply

    def travel(self) -> Turn:
        """This turn, of which others are to answer a part."""
        if self.turn is None:
            self.turn = self.server.abroad.begin()
        return self.turn

    def _leave(self, unheard: bool) -> bytes:
        """The reply comes later: nothing yet."""
        assert self.turn, "somebody is asked"
        assert self._replies is not None, "requests are carried out"
        self.turn.leave(len(self._replies), _unheard if unheard else self.merge)
        self._turn_over |= self.turn.size_bytes > TURN_BYTES
        return b""


def _unheard(_: list[bytes]) -> bytes:
    """Who wants no reply gets none."""
    return b""


def _fit(key: object, value: object) -> bool:
    """Are these words, neither too long? Anything may stand in a client's array."""
    return (
        type(key) is bytes
        and type(value) is bytes
        and len(key) <= MAX_KEY_BYTES
        and len(value) <= MAX_VALUE_BYTES
    )


# What is answered in the loop.
_GET, _SET = "get", "set"
_HOT = {b"GET": _GET, b"get": _GET, b"SET": _SET, b"set": _SET}
_COLD: Mapping[bytes, str] = {}

# The same where keys are at several peers.
_FAR = "far"
_FARTHER = dict.fromkeys(_HOT, _FAR)
_LENGTHS = {b"GET": 2, b"get": 2, b"SET": 3, b"set": 3}
