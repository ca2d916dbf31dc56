"""Random commands, most of them right and many of them wrong, all from a seed.

Durations are long, or in the past: what ends while two servers are asked one after the
other would be compared by luck. That keys end is tested with a clock of our own.
"""

import time
from collections.abc import Callable  # noqa: TC003 - it is shorter so.
from random import Random

from tests.conformance.redis_wire import Words

# Each letter stands for a word of a kind, see `Requests`.
SHAPES = """
GET K|SET K V|SET K V|SET K V O|SET K V O O|MGET M|MSET N|GETDEL K|GETEX K|GETEX K X
GETSET K V|SETNX K V|SETEX K D V|PSETEX K E V|APPEND K V|STRLEN K|SETRANGE K S V
GETRANGE K I I|SUBSTR K I I|INCR K|DECR K|INCRBY K I|DECRBY K I|INCRBYFLOAT K F
DEL M|UNLINK M|EXISTS M|TYPE K|TOUCH M|RANDOMKEY|DBSIZE|KEYS P
EXPIRE K D|EXPIRE K D Y|EXPIRE K D Y Y|PEXPIRE K E|PEXPIRE K E Y|EXPIREAT K A
EXPIREAT K A Y|PEXPIREAT K B|PEXPIREAT K B Y|TTL K|PTTL K|EXPIRETIME K|PEXPIRETIME K
PERSIST K|PUBLISH C V|PUBSUB CHANNELS|PUBSUB CHANNELS P|PUBSUB NUMSUB C C|PUBSUB NUMPAT
PING|PING V|ECHO V|HELLO|HELLO 2|HELLO 3|HELLO W|HELLO 3 SETNAME W
HELLO 2 AUTH default W|HELLO 3 AUTH W W|AUTH W|AUTH default W|AUTH W W|SELECT 0
CLIENT ID|CLIENT INFO|CLIENT LIST|CLIENT LIST TYPE W|CLIENT LIST TYPE pubsub
CLIENT LIST ID 999999|CLIENT LIST ID W|CLIENT SETNAME W|CLIENT GETNAME
CLIENT NO-EVICT on|CLIENT NO-EVICT off|CLIENT NO-EVICT W|CLIENT REPLY no
CLIENT KILL ID 999999|CLIENT KILL ID W|CLIENT KILL W|CLIENT KILL TYPE W
CLIENT KILL ADDR W SKIPME W|CLIENT KILL USER foo
COMMAND COUNT|COMMAND INFO Z|COMMAND INFO Z Z|COMMAND LIST FILTERBY PATTERN P
COMMAND LIST FILTERBY W W|COMMAND GETKEYS SET K V|COMMAND GETKEYS MSET K V K V
COMMAND GETKEYS Z K|COMMAND GETKEYS Z K V|INFO|INFO keyspace|INFO W
CONFIG GET notify-keyspace-events|CONFIG GET W|CONFIG SET W W|CONFIG SET databases I
CONFIG SET notify-keyspace-events G|TIME|WAIT 0 0|WAIT W W|WAIT 0 W
MEMORY USAGE K|MEMORY USAGE K SAMPLES I|OBJECT ENCODING K
SCAN 0|SCAN 0 Q|SCAN 0 Q Q|SCAN W|SCAN U|FLUSHALL W|FLUSHDB ASYNC|W|W W|CLIENT W
CONFIG W|COMMAND W|PUBSUB W|OBJECT W|MEMORY W
"""

CLUSTER_SHAPES = """
CLUSTER KEYSLOT K|CLUSTER COUNTKEYSINSLOT H|CLUSTER GETKEYSINSLOT H I|CLUSTER SLOTS
CLUSTER SHARDS|CLUSTER NODES|CLUSTER INFO|CLUSTER MYID|CLUSTER W
SELECT I|SELECT W|READONLY|READWRITE|ASKING
"""

# To be answered by both in the same words, whoever listens.
LISTENING_SHAPES = """
SUBSCRIBE C|SUBSCRIBE C C|PSUBSCRIBE P|PSUBSCRIBE P P|UNSUBSCRIBE C|PUNSUBSCRIBE P
PUBLISH C V|PUBLISH C V|PUBLISH C V|PING|PING V|GET K|SET K V|PUBSUB NUMPAT
CONFIG SET notify-keyspace-events KEA|ECHO W|W
"""

_KEYS = [b"k0", b"k1", b"k2", b"k3", b"", b"\0\xff", b"{x}y", b"a[b", b"k" * 300]
_TAGGED = [b"{t}" + key.replace(b"{", b"") for key in _KEYS]
_NUMBERS = b"0 1 -1 2 7 100 -100 99999999999 9223372036854775807 9223372036854775808"
_NUMBERS += b" -9223372036854775808 -9223372036854775809 01 +1 1.0 1e3 abc -0 0x10"
_INTEGERS = [*_NUMBERS.split(), b"", b" 1", b"1 ", b"1\0"]
_SMALL = b"0 1 2 3 5 10 40 -1 -2 -3 -5 -100 9223372036854775807 abc 01".split()
_FLOATS = b"1.5 -0.1 3.0e3 1e400 1e4932 -1e4933 1e4950 inf -inf +inf nan 0x1p3 0x.8 0x"
_FLOATS += (
    b" 1e-20 1e-4950 1e-5000 100000000000000000000 .5 5. . 1e 1e+ 0.1 1_0 0e99999"
)
_WORDS = (
    b"abc NX XX GT LT EX PX KEEPTTL GET PERSIST -1 0 9223372036854775808 1.5 default"
)
_WORDS += b" yes no on off MATCH COUNT TYPE string * normal help1 fo\xffo foo a|b"
_ODD = [*_WORDS.split(), b"", b"\0", b"a b", b"a\r\nb", b"x" * 200, b"\xe4" * 130]
_PATTERNS = b"* k* *0 k? k[0-2] k[^0] [ \\* a\\[b ** ?? k[1-0]* [^ k[\\0-9] *k*k* {t}*"
_CHANNELS = [b"news", b"n", b"", b"\0c", b"k0"]
_SEVERAL_KEYS = b"MGET MSET DEL UNLINK EXISTS TOUCH".split()
_FLAGS = b"KEA KEAm KA EA K E mKE nKE KE$ Kg Exm A foo KExn KEA$".split()


class Requests:
    """Draws commands."""

    def __init__(self, rng: Random, *, cluster: bool, names: list[bytes]) -> None:
        self._rng = rng
        self._keys = _TAGGED if cluster else _KEYS
        self._names = names
        self._cluster = cluster
        shapes = SHAPES + 3 * CLUSTER_SHAPES if cluster else SHAPES
        self._shapes = _lines(shapes)
        self._listening = _lines(LISTENING_SHAPES)
        self._draw: dict[str, Callable[[], Words]] = {
            "K": lambda: [rng.choice(self._keys)],
            "M": lambda: rng.choices(self._keys, k=rng.randint(1, 3)),
            "N": lambda: [self._any_value() for _ in range(2 * rng.randint(1, 3))],
            "V": lambda: [self._any_value()],
            "I": lambda: [rng.choice(_INTEGERS)],
            "S": lambda: [rng.choice(_SMALL)],
            "H": lambda: [rng.choice([b"0", b"15891", b"8041", *_INTEGERS])],
            "F": lambda: [rng.choice([*_FLOATS.split(), *_INTEGERS])],
            "D": lambda: [self._duration(1)],
            "E": lambda: [self._duration(1000)],
            "A": lambda: [self._moment(1)],
            "B": lambda: [self._moment(1000)],
            "O": self._set_option,
            "X": lambda: rng.choice([[b"PERSIST"], self._until(), [self._odd()]]),
            "Y": lambda: [rng.choice([b"NX", b"xx", b"GT", b"lt", self._odd()])],
            "Q": self._scan_option,
            "P": lambda: [rng.choice(_PATTERNS.split())],
            "C": lambda: [rng.choice(_CHANNELS)],
            "G": lambda: [rng.choice(_FLAGS)],
            "U": lambda: [rng.choice([b"+0", b"-0", b"", b"0\0x", b"0x", b"1e3"])],
            "W": lambda: [self._odd()],
            "Z": lambda: [rng.choice(self._names)],
        }

    def one(self) -> Words:
        """A command."""
        words = self._fill(self._rng.choice(self._shapes))
        if self._rng.random() < 0.06:
            self._spoil(words)
        if self._rng.random() < 0.1:
            words[0] = words[0].lower()
        return words

    def listening(self) -> Words:
        """A command of somebody who listens."""
        return self._fill(self._rng.choice(self._listening))

    def over(self) -> list[Words]:
        """What is over at once, and found so by the next command."""
        key, past = self._rng.choice(self._keys), self._rng.choice([b"1", b"1000"])
        word = self._rng.choice([b"EXAT", b"PXAT"])
        return [[b"SET", key, b"v", word, past], [b"GET", key]]

    def scan(self) -> Words:
        """A SCAN to go through to the end, without its cursor."""
        rng = self._rng
        options: Words = []
        if rng.random() < 0.5:
            options += [b"MATCH", rng.choice(_PATTERNS.split())]
        if rng.random() < 0.5:
            options += [b"COUNT", b"%d" % rng.choice([1, 3, 100, 10**9])]
        return options

    def _fill(self, shape: list[str]) -> Words:
        words: Words = []
        for kind in shape:
            words += self._draw[kind]() if kind in self._draw else [kind.encode()]
        if shape[:1] == ["MSET"]:
            for at in range(1, len(words), 2):
                words[at] = self._rng.choice(self._keys)
        return words

    def _spoil(self, words: Words) -> None:
        """A word too few, one too many, or another one; never another key."""
        if self._cluster and words[0] in _SEVERAL_KEYS:
            return  # A Redis cluster refuses what we carry out: keys of two slots.
        match self._rng.randrange(3):
            case 0 if len(words) > 1:
                words.pop()
            case 1:
                words.append(self._odd())
            case _:
                at = self._rng.randrange(len(words))
                if words[at] not in self._keys:
                    words[at] = self._odd()

    def _any_value(self) -> bytes:
        rng = self._rng
        match rng.randrange(6):
            case 0 | 1:
                return rng.choice(_INTEGERS)
            case 2:
                return rng.choice(_FLOATS.split())
            case 3:
                return rng.randbytes(rng.choice([0, 1, 10, 44, 45, 1000]))
            case _:
                return rng.choice([b"", b"hello", b"value", b"a\r\nb", b"v" * 5000])

    def _odd(self) -> bytes:
        return self._rng.choice(_ODD)

    def _duration(self, scale: int) -> bytes:
        if self._rng.random() < 0.3:
            past = [b"0", b"-1", b"-1000", b"abc", b"", b"+5", b"9223372036854775807"]
            return self._rng.choice([*past, b"9223372036854775", b"9007199254740993"])
        return b"%d" % (self._rng.randrange(100, 1_000_000) * scale)

    def _moment(self, scale: int) -> bytes:
        if self._rng.random() < 0.7:
            ahead_s = self._rng.randrange(100, 1_000_000)
            return b"%d" % ((int(time.time()) + ahead_s) * scale)
        return self._rng.choice([b"0", b"-5", b"1", b"x", b"9223372036854775807"])

    def _until(self) -> Words:
        word = self._rng.choice([b"EX", b"px"])
        return [word, self._duration(1 if word == b"EX" else 1000)]

    def _set_option(self) -> Words:
        plain = [b"NX", b"xx", b"GET", b"KeepTTL", b"PERSIST", self._odd()]
        return self._rng.choice([*([each] for each in plain), self._until()])

    def _scan_option(self) -> Words:
        rng = self._rng
        value = [*_PATTERNS.split(), b"10", b"0", b"abc", b"string", b"hash"]
        return [rng.choice([b"MATCH", b"count", b"TYPE", b"foo"]), rng.choice(value)]


def typed(rng: Random, words: Words) -> bytes:
    """The same, typed by hand: quoted in one of the ways there are."""
    return b" ".join(_typed_word(rng, word) for word in words) + b"\r\n"


def _typed_word(rng: Random, word: bytes) -> bytes:
    plain = word and all(32 < letter < 127 and letter not in b"\"'" for letter in word)
    if plain and rng.random() < 0.7:
        return word
    if rng.random() < 0.2 and all(letter not in b"'\r\n\0\\" for letter in word):
        return b"'%b'" % word
    escaped = "".join(
        chr(letter) if chr(letter).isalnum() and letter < 128 else f"\\x{letter:02x}"
        for letter in word
    )
    return b'"%b"' % escaped.encode()


def _lines(shapes: str) -> list[list[str]]:
    return [
        shape.split()
        for line in shapes.split("\n")
        for shape in line.split("|")
        if shape
    ]
