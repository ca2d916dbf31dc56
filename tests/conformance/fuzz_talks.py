"""Hostile bytes at the talks themselves, without sockets: many more in a second.

`python -m tests.conformance.fuzz_talks --inputs 10000000` for a campaign. An input is
one piece of bytes that one talk hears; a talk hears a few of them, cut anywhere.
"""

import argparse
import json
import resource
import sys
from collections.abc import Callable
from random import Random

from shoal.core.frames import framed
from shoal.core.machine import PeerId
from shoal.table.lines import LinesTalk
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.redis.registry import COMMANDS
from shoal.table.talk import Talk
from shoal.table.verbs import VerbsTalk
from tests.callers import server_of, talk_to
from tests.conformance.fuzz import mutate
from tests.conformance.tables import command

# Inputs that one talk hears before the next one begins.
PIECES = 6

# What a talk may hold back of 6 inputs of 64 KiB, and the keys that got in.
MAX_GROWTH_BYTES = 64 << 20

ODD = [b"-1", b"0", b"9223372036854775807", b"1e400", b"nan", b"*", b"[a-", b"\\", b""]
NAMES = [name for name in COMMANDS if name not in (b"FLUSHALL", b"FLUSHDB")]


def redis_requests(rng: Random) -> bytes:
    """Some commands, mostly with words that make sense."""
    said = b""
    for _ in range(rng.randrange(1, 6)):
        name, count = rng.choice(NAMES), rng.randrange(5)
        words = [
            rng.choice([b"k%d" % rng.randrange(20), rng.choice(ODD), rng.randbytes(4)])
            for _ in range(count)
        ]
        said += command(name, *words)
    return said if rng.random() < 0.8 else b"%b a 'b c' \"\\x00\"\r\n" % name


def verb_requests(rng: Random) -> bytes:
    """Some frames."""
    verbs = [b"put k v", b"get k", b"rem k", b"keys", b"put k", b"", b"get"]
    return b"".join(framed(rng.choice(verbs)) for _ in range(rng.randrange(1, 5)))


def line_requests(rng: Random) -> bytes:
    """Some lines of JSON."""
    request = {
        "method": rng.choice(["insert", "lookup", "remove", "scan", "size", "query"]),
        "key": rng.choice(["k", "", 1, None, "\ud800", "k" * 100]),
        "value": rng.choice([1, "v", [1, [2]], {"a": None}, 1e308]),
        "regex": rng.choice(["^k", "(a+)+$", "[", "\\1", ".*" * 40]),
    }
    return json.dumps(request).encode() + b"\n"


Requests = Callable[[Random], bytes]


def attack(inputs: int, seed: int) -> int:
    """Let talks hear so many inputs; how many bytes the process grew by."""
    rng = Random(seed)
    table = Table(Ballot(1, 1, PeerId("p"), 1), Random(seed), logged=False)
    server = server_of(table)
    dialects: list[tuple[Callable[[], Talk], Requests]] = [
        (lambda: talk_to(server), redis_requests),
        (lambda: VerbsTalk(table), verb_requests),
        (lambda: LinesTalk(table), line_requests),
    ]
    heard, warm = 0, 0
    while heard < inputs:
        make, requests = rng.choice(dialects)
        heard += converse(make(), requests, table, rng)
        if heard < inputs // 4:
            warm = peak_bytes()
    return peak_bytes() - warm


def converse(talk: Talk, requests: Requests, table: Table, rng: Random) -> int:
    """One talk, until it ends."""

    for heard in range(1, PIECES + 1):  # noqa: B007 - it is what is returned.
        table.begin(1e9 + rng.randrange(1000))
        assert isinstance(talk.hear(mutate(requests(rng), rng)), bytes)
        for _ in range(100):
            if not talk.paused or talk.ended:
                break
            talk.hear(b"")
        if talk.ended:
            break
    talk.close()
    if table.size > 10_000:
        table.flush()
    return heard


def peak_bytes() -> int:
    """The most that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    grown = attack(chosen.inputs, chosen.seed)
    print(f"{chosen.inputs} hostile inputs: no crash, grew by {grown >> 20} MiB")
    sys.exit(grown > MAX_GROWTH_BYTES)
