"""What is said to a catalog that means no harm, and what does, and what comes of it.

The model is this list: each update stands beside the fields that must be there after
it, or nothing if it is junk. What stands here was written from the protocol's page, not
from the reader that it judges.
"""

import json
import zlib
from base64 import b64encode, urlsafe_b64encode
from random import Random
from typing import Any

from tests.conformance.fuzz import mutate

Fields = dict[str, Any]

MIB = 1 << 20


def squeezed(data: bytes) -> bytes:
    """As an update that was compressed."""
    return b"\x1a" + zlib.compress(data, 9)


def bomb(size: int) -> bytes:
    """A kilobyte for each of its megabytes, one like the other; no sum in the end."""
    packer = zlib.compressobj(9)
    start = packer.compress(b'{"type":"bomb","a":"')
    start += packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1a" + start + again * (size // MIB) + packer.flush()


def bomb_of_bombs() -> bytes:
    """One kilobyte that would be a gigabyte, were it unpacked again and again."""
    return squeezed(squeezed(bomb(1 << 30)))


def usual(port: int, owner: str = "stranger") -> bytes:
    """An update as programs send it."""
    fields = {"type": "hashtable", "owner": owner, "port": port, "load": 0.25}
    return json.dumps(fields, separators=(",", ":")).encode()


def junk(rng: Random) -> list[bytes]:
    """Nothing of this is a record."""
    return [
        *(b"", b"\0", b"\x1a", b"{", b"}", b"[]", b"null", b"hello world", b" {}"),
        *(b'{"type"', b'{"type":"x', b'{"type":"x","a":[1', b'{"a" 1}', b"{a:1}"),
        *(b'{"a":NaN}', b'{"a":1e999}', b'{"a":1+1}', b'{"a":f(1)}', b'{"a":b}'),
        *(b'{"type":"x","a":"\\ud800"}', b'{"type":"x","a":"\\udc00\\ud800"}'),
        *(b"\x1f\x8b\x08\0junk", b"\x1ajunk", squeezed(squeezed(usual(1)))),
        *(squeezed(usual(1))[:-4], squeezed(b"[1]"), squeezed(b"")),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"name only\nno kind\n",
        b'{"a":' * 5000,
        b"[" * 60_000,
        b'{"type":"x","a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"type":"x","a":"' + b"x" * 65_536 + b'"}',
        b"\xff" * 60_000,
        rng.randbytes(rng.randrange(1, 60_000)),
        squeezed(rng.randbytes(1000)),
    ]


def large_junk() -> list[bytes]:
    """More than a datagram holds; nothing of this is a record either."""
    return [
        b"x" * 70_000,
        b"[" * 900_000,
        b'{"type":"x","a":"' + b"x" * MIB + b'"}',
        b'{"type":"x","a":[' + b"[]," * 349_000 + b"[]]}",
        b'{"type":"x","a":[' + b"1," * 500_000 + b"1]}",
        b'{"type":"x",' + b",".join(b'"%d":0' % n for n in range(90_000)) + b"}",
        b'{"type":"x","a":1' + b"0" * 1_000_000 + b"}",
        squeezed(b'{"type":"x","a":[' + b"{}, " * 250_000 + b"1]}"),
        b"x" * (3 * MIB),
    ]


def curious(port: int) -> list[tuple[bytes, Fields | None]]:
    """Updates with something odd, each under a port of its own, and what is kept."""
    texts: list[tuple[str, Fields | None]] = [
        ('"address":"9.9.9.9","lastheardfrom":9999999999', {}),
        ('"name":"bank","name":"bank2","address":"8.8.8.8"', {}),
        ('"a":1,"a":2', {"a": 1}),
        ('"a":{"b":1,"b":2}', {"a": {"b": 1}}),
        ('"a":"x\\u0000y"', {"a": "x?y"}),
        ('"a\\u0000":1', {"a?": 1}),
        ('"a":"\\ud83d\\ude00\\u00e9"', {"a": "\U0001f600\u00e9"}),
        ('"a":99999999999999999999', {"a": 2**63 - 1}),
        ('"a":-99999999999999999999', {"a": -(2**63)}),
        ('"a":1e3,', {"a": 1000.0}),
        ('"a":[1,2,], # a remark', {"a": [1, 2]}),  # As if cut after the comma.
        ('"a":[1,2,], # a remark\n', {"a": [1, 2]}),
        ('"a":' + "[" * 31 + "]" * 31, {"a": json.loads("[" * 31 + "]" * 31)}),
        ('"a":' + "[" * 33 + "]" * 33, None),
        ('"a":"' + "x" * 60_000 + '"', {"a": "x" * 60_000}),
        ('"__class__":{"constructor":null}', {"__class__": {"constructor": None}}),
        ('"a":"</script><script>alert(1)"', {"a": "</script><script>alert(1)"}),
    ]
    found: list[tuple[bytes, Fields | None]] = []
    for n, (text, more) in enumerate(texts, port):
        base = {"type": "curious", "port": n}
        data = f'{{"type":"curious","port":{n},{text}}}'.encode()
        kept = None if more is None else {**base, **more}
        found.append((squeezed(data) if n % 2 else data, kept))
    return found


def changed(data: bytes, rng: Random) -> bytes:
    """Something close to an update, never another's: a port that nobody else has."""
    if rng.random() < 0.3:
        return squeezed(mutate(data, rng))
    return mutate(data, rng)


# Questions

FILTERS = [
    *("true", "false", "1", "nosuch", 'type=="hashtable"', "port>3 and load<1"),
    *('like(owner,"s.*")', "l[0]==1", "{}", "[1,2][1:]", 'format("%d",port)=="7"'),
    *("not not not true", "((((((1))))))==1", "1/0", "range(100000)", "error(1)"),
    *('"\\u0000"==""', '"\u00e9"=="\u00e9"', "9223372036854775807+1>0", "x for x in y"),
    *("fetch(1)", "schema([])", 'join(range(9),"")', "1e308*10>1", "-9/0.0"),
]

# Each would hold a careless catalog for seconds.
COSTLY = [
    " or ".join(f'like(owner,"(x{{0,30}}){{0,30}}y{n}")' for n in range(300)),
    " or ".join(f'like("y{n}"+owner,"(.?){{999}}z")' for n in range(300)),
    "[" + "1," * 8000 + "1]==1",
    " or ".join(["range(9999)==range(9998)"] * 400),
    "(" * 8000,
    "-" * 8000 + "1",
    "true" + " and true" * 1700,
    "+".join(["owner"] * 2000) + '==""',
    " or ".join(['like(owner,"(s|t|r)*w")'] * 600),
]

PATHS = [
    *("/", "/query.json", "/query.text", "/query.newclassads", "/query.html"),
    *("/detail/127.0.0.1:1:localhost", "/detail/", "/detail/%00%ff", "/nosuch"),
    *("/history/1/query.json", "/history/9999999999/", "/history/99999999999999999/"),
    *("/updates/1/2/dHJ1ZQ==", "/../../etc/passwd", "/%2e%2e/", "//", "*", "/?a=b"),
    *("/<script>alert(1)</script>", "/query.json?x=1", "http://[::1/query.json"),
]


def encoded(text: str, rng: Random) -> str:
    """In base64 of some alphabet, with some padding, perhaps cut, perhaps quoted."""
    data = text.encode(errors="replace")
    way = rng.choice((b64encode, urlsafe_b64encode))(data).decode()
    ending = rng.choice(("", "=", "==", "===", "%3D", "%3D%3D", "/", "\n", " ", "%"))
    bare = way.rstrip("=")
    return rng.choice((way, bare, bare + ending, way + ending, bare[:-1] + ending))


def request(path: str, rng: Random) -> bytes:
    """One of the ways to ask for it."""
    method = rng.choice(("GET", "GET", "HEAD", "POST", "\0", "GET " * 3))
    version = rng.choice((" HTTP/1.1", " HTTP/1.0", "", " HTTP/9", " \xff"))
    heads = rng.choice(
        ("", "Host: a\r\n", "X: " + "y" * 30_000 + "\r\n", "\0\r\n", "A: b\r\n" * 500)
    )
    ending = rng.choice(("\r\n", "\n", "\r\n" * 3 + "GET / HTTP/1.1\r\n\r\n", ""))
    return f"{method} {path}{version}\r\n{heads}{ending}".encode(errors="replace")


def any_request(rng: Random) -> bytes:
    """A question, or something close to one."""
    text = rng.choice(FILTERS)
    if rng.random() < 0.5:
        text = mutate(text.encode(), rng).decode("latin-1")[:20_000]
    path = f"/query/{encoded(text, rng)}" if rng.random() < 0.6 else rng.choice(PATHS)
    asked = request(path, rng)
    return mutate(asked, rng) if rng.random() < 0.4 else asked
