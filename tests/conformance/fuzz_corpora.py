"""What hostile clients say, before it is spoilt: each corpus in one dialect."""

import json
from collections.abc import Callable
from random import Random

from shoal.core.frames import framed
from shoal.table.redis.registry import COMMANDS
from tests.conformance.tables import command

Requests = Callable[[Random], bytes]

ODD = [b"-1", b"0", b"9223372036854775807", b"1e400", b"nan", b"*", b"[a-", b"\\", b""]
FLUSHES = (b"FLUSHALL", b"FLUSHDB")
NAMES = [name for name in COMMANDS if name not in FLUSHES]

COUNTS = (0, 1, 2, 3, -1, 999_999, 10**6, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63)

PATTERNS = [
    "^k",
    "(a+)+$",
    "[",
    "\\1",
    ".*" * 40,
    "\ud800",
    "[\udfff-\U0010ffff]",
    "k\udc80\ud83d$",
    "((a{100}){10}){10}",
    "((((.{30}){30}){30}){30})",
    "(\\pL|\\pN|.){500}" * 20,
    "(?i)" + "[^a]{200}" * 50,
    "(" * 500 + ")" * 500,
    "x*" * 500,
    "\0",
]

DEPTHS = (1, 100, 990, 1000, 1010, 5000, 30_000)
NESTS = [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ("[1,", "]")]


def redis_requests(rng: Random) -> bytes:
    """Some commands, mostly with words that make sense."""
    said = b""
    for _ in range(rng.randrange(1, 6)):
        name, count = rng.choice(NAMES), rng.randrange(5)
        if rng.random() < 0.02:
            name, count = rng.choice(FLUSHES), rng.randrange(2)
        words = [
            rng.choice([b"k%d" % rng.randrange(20), rng.choice(ODD), rng.randbytes(4)])
            for _ in range(count)
        ]
        said += command(name, *words)
    return said if rng.random() < 0.8 else b"%b a 'b c' \"\\x00\"\r\n" % name


def aggregates(rng: Random) -> bytes:
    """Heads of lists, sets, maps, pushes and attributes, inside one another."""
    said = b"*2\r\n$3\r\nGET\r\n" if rng.random() < 0.3 else b""
    for _ in range(rng.randrange(1, 12)):
        kind = rng.choice([b"*", b">", b"~", b"%", b"|"])
        said += b"%b%d\r\n" % (kind, rng.choice(COUNTS))
        if rng.random() < 0.3:
            said += rng.choice(
                [b"$1\r\na\r\n", b":1\r\n", b"_\r\n", b"#t\r\n", b",1\r\n"]
            )
    return said


def verb_requests(rng: Random) -> bytes:
    """Some frames."""
    verbs = [b"put k v", b"get k", b"rem k", b"keys", b"put k", b"", b"get", b"find k"]
    return b"".join(framed(rng.choice(verbs)) for _ in range(rng.randrange(1, 5)))


def line_requests(rng: Random) -> bytes:
    """Some lines of JSON."""
    request = {
        "method": rng.choice(["insert", "lookup", "remove", "scan", "size", "query"]),
        "key": rng.choice(["k", "", 1, None, "\ud800", "k" * 100]),
        "value": rng.choice([1, "v", "\udfff", [1, [2]], {"a": None}, 1e308]),
        "regex": rng.choice(["^k", "(a+)+$", "[", "\\1", ".*" * 40]),
    }
    return _line(request)


def patterns(rng: Random) -> bytes:
    """Scans by what is no pattern, or too much of one."""
    request = {"method": "scan", "regex": rng.choice(PATTERNS)}
    insert = {"method": "insert", "key": "k\ud800", "value": 1}
    return _line(insert) * rng.randrange(2) + _line(request)


def nested(rng: Random) -> bytes:
    """A value of many levels, and a look at it."""
    begin, end = rng.choice(NESTS)
    depth = min(rng.choice(DEPTHS), 60_000 // len(begin + end))
    value = begin * depth + "1" + end * (depth if rng.random() < 0.8 else 0)
    key = f"deep{rng.randrange(8)}"
    insert = f'{{"method":"insert","key":"{key}","value":{value}}}\n'.encode()
    method = rng.choice(["lookup", "remove", "query"])
    return insert + _line({"method": method, "key": key})


def nested_elsewhere(rng: Random) -> bytes:
    """The same, put where JSON is but bytes; seen later by those who look for JSON."""
    begin, end = rng.choice(NESTS)
    depth = min(rng.choice(DEPTHS), 60_000 // len(begin + end))
    value = (begin * depth + "1" + end * depth).encode()
    return framed(b"put deep%d %b" % (rng.randrange(8), value))


def looks(rng: Random) -> bytes:
    """What is there that others put."""
    key = f"deep{rng.randrange(8)}"
    lookup = {"method": rng.choice(["lookup", "remove"]), "key": key}
    return _line(rng.choice([lookup, {"method": "scan", "regex": "deep"}]))


def _line(request: object) -> bytes:
    return json.dumps(request).encode() + b"\n"


# By name, the dialect that each is said in.
CORPORA: dict[str, tuple[str, Requests]] = {
    "redis": ("redis", redis_requests),
    "aggregates": ("redis", aggregates),
    "verbs": ("verbs", verb_requests),
    "lines": ("lines", line_requests),
    "patterns": ("lines", patterns),
    "nested": ("lines", nested),
    "nested-elsewhere": ("verbs", nested_elsewhere),
    "looks": ("lines", looks),
}
