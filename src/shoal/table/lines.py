"""Lines of JSON, a request each: {"method": "insert", "key": "zebra", "value": …}.

Three outcomes are told apart: {"status": "OK", "result": …}, {"status": "exception",
"type": "KeyError", …} of an operation that failed, {"status": "invalid", …} of a
request that is none. No request ends the conversation but one that is too long.
"""

import json
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import re2

from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES, Entry
from shoal.table.protocol import Table
from shoal.table.redis.replies import value_in, why_not
from shoal.table.routes import HERE, Abroad
from shoal.table.turns import Turn  # noqa: TC001 - it is shorter so.

# The longest value, escaped at worst six for one, and its key.
MAX_LINE_BYTES = 6 * (MAX_VALUE_BYTES + MAX_KEY_BYTES) + 1024

# A scan that finds more says so: it would not be read in one line.
MAX_FOUND_BYTES = 8 * MAX_VALUE_BYTES

MAX_PATTERN_BYTES = 1 << 10

# RE2 refuses a pattern whose program takes more: about 4,000 steps.
MAX_PROGRAM_BYTES = 128 << 10

# Steps of the pattern times bytes of keys, at the worst 9 ns each: a scan holds the
# loop for 5 s then; a pattern of 20 steps looks through a million keys of 18 bytes.
MAX_SCAN_STEPS = 1 << 29

# What it costs to look at a key, in bytes of it.
KEY_BYTES = 8

# So much is answered before anybody looks whether the client reads it.
MAX_REPLY_BYTES = 1 << 20


class _Invalid(Exception):
    """The request is none: its kind, and why."""


class _Sent(Exception):
    """Another peer is asked: the answer comes later."""


class LinesTalk:
    """One client that speaks JSON."""

    def __init__(self, table: Table, abroad: Abroad | None = None) -> None:
        self.ended = self.paused = False
        self.answered = 0
        self.turn: Turn | None = None
        self._table = table
        self._abroad = None if abroad is None or abroad.routes.whole else abroad
        self._at = 0  # Which answer of its turn is given now.
        self._kept = bytearray()  # Of a line that is not whole yet.
        self._asked: deque[bytes] = deque()
        self._methods: dict[str, Callable[[dict[str, Any]], bytes]] = {
            "insert": self._insert,
            "lookup": self._lookup,
            "remove": self._remove,
            "scan": self._scan,
            "size": self._size,
            "query": self._query,
        }

    def hear(self, data: bytes) -> bytes:
        """Answer every whole line, as much as can be read at once."""
        replies: list[bytes] = []
        told = 0
        self._take(data)
        while self._asked and told <= MAX_REPLY_BYTES:
            line = self._asked.popleft()
            self._at = len(replies)
            replies.append(self._answer(line))
            told += len(replies[-1] or line)
        self.paused = bool(self._asked)
        if len(self._kept) > MAX_LINE_BYTES and not self.paused:
            why = f"a line has at most {MAX_LINE_BYTES} bytes"
            replies.append(_invalid("TooLong", why) + b"\n")
            self.ended = True
        self.answered = len(replies)
        if self.turn:
            self.turn.replies = replies
        return b"".join(replies)

    def _take(self, data: bytes) -> None:
        """Keep what is whole apart from what is not yet."""
        if b"\n" in data:
            *lines, data = b"".join([self._kept, data]).split(b"\n")
            self._asked.extend(line for line in lines if line.strip())
            self._kept.clear()
        if len(self._kept) <= MAX_LINE_BYTES:
            self._kept += data

    def refused(self, count: int, why: str) -> bytes:
        """So many failures."""
        return (_failed("Refused", why) + b"\n") * count

    def close(self) -> None:
        """Nothing is kept of a client."""

    def _answer(self, line: bytes) -> bytes:
        try:
            return self._result(line) + b"\n"
        except _Sent:
            return b""

    def _result(self, line: bytes) -> bytes:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            return _invalid("NotJSON", str(error))
        if not isinstance(request, dict):
            return _invalid("NotJSON", "a request is an object")
        method = request.get("method")
        run = self._methods.get(method) if isinstance(method, str) else None
        if run is None:
            return _invalid("InvalidMethod", f"there are {', '.join(self._methods)}")
        try:
            return b'{"status":"OK","result":%b}' % run(request)
        except KeyError as missing:
            return _failed("KeyError", f"no key {missing.args[0]!r}")
        except _Invalid as error:
            return _invalid(*error.args)

    # Methods: each gives its result as it is in the reply

    def _insert(self, request: dict[str, Any]) -> bytes:
        if "value" not in request:
            raise _Invalid("MissingValue", "insert needs a value")
        key = _key(request)
        try:
            value = _text_of(request["value"])
        except (ValueError, RecursionError) as error:
            raise _Invalid("NotJSON", str(error)) from None
        if len(value) > MAX_VALUE_BYTES:
            raise _Invalid("TooLong", f"a value has at most {MAX_VALUE_BYTES} bytes")
        self._send(key, _inserted, b"SET", key, value, changes=True)
        self._table.put(key, value)
        return b"null"

    def _lookup(self, request: dict[str, Any]) -> bytes:
        key = _key(request)
        self._send(key, partial(_valued, request["key"]), b"GET", key)
        return _value(self._found(request).value)

    def _remove(self, request: dict[str, Any]) -> bytes:
        key = _key(request)
        valued = partial(_valued, request["key"])
        self._send(key, valued, b"GETDEL", key, changes=True)
        entry = self._found(request)
        self._table.drop(key)
        return _value(entry.value)

    def _scan(self, request: dict[str, Any]) -> bytes:
        pattern = _pattern(request)
        found: list[bytes] = []
        size = looked = 0
        self._table.rest_on_all()
        for slot in (n for n, entries in enumerate(self._table.slots) if entries):
            for key, entry in self._table.living(slot):
                looked += KEY_BYTES + len(key)
                if looked * pattern.programsize > MAX_SCAN_STEPS:
                    raise _Invalid("TooMuch", "the regex is too long for so many keys")
                if pattern.search(key):
                    size += len(key) + len(entry.value)
                    if size > MAX_FOUND_BYTES:
                        raise _Invalid("TooMuch", "more is found than fits in a line")
                    found.append(b"[%b,%b]" % (_text(key), _value(entry.value)))
        return b"[%b]" % b",".join(found)

    def _size(self, _: dict[str, Any]) -> bytes:
        self._table.rest_on_all()
        return b"%d" % self._table.count()

    def _query(self, request: dict[str, Any]) -> bytes:
        key = _key(request)
        self._send(key, _queried, b"EXISTS", key)
        return b"true" if self._table.find(key) else b"false"

    def _send(
        self,
        key: bytes,
        result: Callable[[bytes], bytes],
        *words: bytes,
        changes: bool = False,
    ) -> None:
        """Ask whoever has the key, unless it is here; the result is made of that."""
        abroad = self._abroad
        if abroad is None or abroad.routes.owner(key) is HERE:
            return
        if self.turn is None:
            self.turn = abroad.begin()
        self.turn.ask(key, 2, list(words), changes=changes)
        self.turn.leave(self._at, partial(_told, result))
        raise _Sent

    def _found(self, request: dict[str, Any]) -> Entry:
        entry = self._table.find(_key(request))
        if entry is None:
            raise KeyError(request["key"])
        return entry


def _key(request: dict[str, Any]) -> bytes:
    key = request.get("key")
    if not isinstance(key, str):
        raise _Invalid("InvalidKey", "the key is to be a string")
    data = key.encode(errors="surrogatepass")
    if len(data) > MAX_KEY_BYTES:
        raise _Invalid("TooLong", f"a key has at most {MAX_KEY_BYTES} bytes")
    return data


def _pattern(request: dict[str, Any]) -> Any:  # noqa: ANN401 - re2 has no types.
    text = request.get("regex")
    if not isinstance(text, str) or len(text) > MAX_PATTERN_BYTES:
        raise _Invalid(
            "InvalidRegex", f"regex is to be a string, at most {MAX_PATTERN_BYTES}"
        )
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PROGRAM_BYTES
    try:
        return re2.compile(text.encode(errors="surrogatepass"), options=options)
    except re2.error as error:
        cause = error.args[0] if error.args else "not a pattern"
        shown = cause.decode(errors="replace") if isinstance(cause, bytes) else cause
        raise _Invalid("InvalidRegex", shown) from None


_validated = msgspec.json.Decoder(msgspec.Raw).decode

# What may be a number that none can hold: 200 digits, or an exponent of three.
_DOUBTFUL = re2.compile(rb"[0-9.]{200}|[0-9][eE]\+?[0-9]{3}")


# What others answered, in lines


def _told(result: Callable[[bytes], bytes], answers: list[bytes]) -> bytes:
    answer = answers[0]
    if why := why_not(answer):
        return _failed("Refused", why) + b"\n"
    try:
        return b'{"status":"OK","result":%b}\n' % result(answer)
    except KeyError as missing:
        return _failed("KeyError", f"no key {missing.args[0]!r}") + b"\n"


def _inserted(_: bytes) -> bytes:
    return b"null"


def _valued(key: str, answer: bytes) -> bytes:
    value = value_in(answer)
    if value is None:
        raise KeyError(key)
    return _value(value)


def _queried(answer: bytes) -> bytes:
    return b"true" if answer == b":1\r\n" else b"false"


def _value(value: bytes) -> bytes:
    """The document; what another dialect stored, as a string if it is none.

    A document is not read and written again, which held the loop for 0.7 s.
    """
    try:
        value.decode()
        if not _DOUBTFUL.search(value):
            # What ends a line is no part of a string, but a space between words.
            document = bytes(_validated(value))
            return document.replace(b"\n", b" ").replace(b"\r", b" ")
    except (ValueError, RecursionError):
        pass
    return _rewritten(value)


def _rewritten(value: bytes) -> bytes:
    """The document, if it is an unusual one: half a character, or a long number."""
    try:
        return _text_of(json.loads(value))
    except (ValueError, RecursionError):
        return _text(value)


def _text(data: bytes) -> bytes:
    try:
        return _text_of(data.decode())
    except UnicodeDecodeError:
        return _text_of({"base64": b64encode(data).decode()})


def _failed(kind: str, why: str) -> bytes:
    return _text_of({"status": "exception", "type": kind, "message": why})


def _invalid(kind: str, why: str) -> bytes:
    return _text_of({"status": "invalid", "type": kind, "message": why})


def _text_of(document: Any) -> bytes:  # noqa: ANN401 - what JSON says.
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
