"""The same commands to a real Redis and to a peer: every reply is compared, byte by
byte or by its meaning, and so is what a second connection hears of keys.

    python -m tests.conformance.differential --commands 200000 --seed 1
"""

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from shoal.table.redis.registry import COMMANDS
from tests.conformance.redis_meaning import OURS_ALONE, excuse, in_order
from tests.conformance.redis_requests import Requests, typed
from tests.conformance.redis_server import redis
from tests.conformance.redis_wire import Wire, Words, resp
from tests.end_to_end.cluster import Cluster

NAMES = [each.lower() for each in COMMANDS if each.lower() not in OURS_ALONE]

# What a SCAN is to be through with.
MAX_PORTIONS = 1000


class Differs(AssertionError):
    """Two replies do not say the same."""


@dataclass
class Tally:
    """What was compared."""

    commands: int = 0
    exact: int = 0
    events: int = 0
    excused: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        excused = ", ".join(f"{n} {reason}" for reason, n in self.excused.most_common())
        return (
            f"{self.commands} commands, {self.exact} replies equal byte by byte, "
            f"{self.events} events; by meaning: {excused or 'none'}"
        )


class Pair:
    """A connection to each, and one each that hears of keys."""

    def __init__(self, theirs: int, ours: int) -> None:
        self._ports = (theirs, ours)
        self._mark = 0
        self.talking = self._dial()
        self.hearing = self._dial()
        for wire in self.hearing:
            wire.send(resp([b"PSUBSCRIBE", b"__key*"]))
        self.heard()

    def ask(self, request: bytes, *, by_hand: bool = False) -> list[list[bytes]]:
        """All replies to a request, of each; both are dialled again if it ended."""
        mark = self._next_mark()
        ping = b"PING %b\r\n" % mark if by_hand else resp([b"PING", mark])
        for wire in self.talking:
            wire.send(request + ping)
        replies = [wire.replies_until(mark) for wire in self.talking]
        ends = [wire.closed for wire in self.talking]
        if ends[0] != ends[1]:
            raise Differs(f"closed by Redis and by us: {ends}; {replies}")
        if ends[0]:
            self._hang_up(self.talking)
            self.talking = self._dial()
        return replies

    def heard(self) -> list[list[bytes]]:
        """What happened to keys since we last asked."""
        mark = self._next_mark()
        for wire in self.hearing:
            wire.send(resp([b"PING", mark]))
        return [wire.replies_until(mark) for wire in self.hearing]

    def close(self) -> None:
        self._hang_up(self.talking)
        self._hang_up(self.hearing)

    def _dial(self) -> list[Wire]:
        wires = [Wire(port) for port in self._ports]
        for wire in wires:
            assert wire.ask(b"ECHO", b"hello") == b"hello"
        return wires

    def _hang_up(self, wires: list[Wire]) -> None:
        for wire in wires:
            wire.close()

    def _next_mark(self) -> bytes:
        self._mark += 1
        return b"mark-%d" % self._mark


class Comparison:
    """One run, from one seed."""

    def __init__(self, pair: Pair, seed: int, *, cluster: bool) -> None:
        self._rng = Random(seed)
        self._pair = pair
        self._requests = Requests(self._rng, cluster=cluster, names=NAMES)
        self.tally = Tally()

    def run(self, commands: int) -> Tally:
        """Compare at least so many commands."""
        steps = {
            self._some: 90,
            self._scan: 3,
            self._any: 2,
            self._silent: 2,
            self._listen: 3,
        }
        while self.tally.commands < commands:
            self._rng.choices(list(steps), list(steps.values()))[0]()
            self._compare_events()
        return self.tally

    def _some(self) -> None:
        chosen = [self._requests.one() for _ in range(self._rng.randint(1, 4))]
        if self._rng.random() < 0.02:
            chosen += self._requests.over()
        if self._rng.random() < 0.01:
            chosen.append([b"QUIT"])
        self._ask(chosen, by_hand=self._rng.random() < 0.1)

    def _silent(self) -> None:
        """Commands that are carried out without a reply."""
        some = [self._requests.one() for _ in range(3)]
        off, on, skip = (
            [b"CLIENT", b"REPLY", each] for each in (b"OFF", b"on", b"skip")
        )
        asked, answered = self._rng.choice(
            [
                ([off, *some, on], [on]),
                ([skip, *some], some[1:]),
                ([off, skip, on], [on]),
            ]
        )
        self._ask(asked, answered)

    def _listen(self) -> None:
        """A conversation of somebody who listens, to the end of it."""
        if self._rng.random() < 0.5:
            self._ask([[b"HELLO", b"3"]])
        chosen = [self._requests.listening() for _ in range(self._rng.randint(2, 12))]
        self._ask([*chosen, [b"RESET"]])

    def _scan(self) -> None:
        """A whole SCAN of each: all that was there is found, once or more."""
        options = self._requests.scan()
        found = [_scan_all(wire, options) for wire in self._pair.talking]
        self.tally.commands += 1
        self.tally.excused["order"] += 1
        if found[0] != found[1]:
            raise Differs(f"SCAN {options}: Redis {found[0]}, we {found[1]}")
        if b"MATCH" not in options:
            ours = self._pair.talking[1]
            keys, size = ours.ask(b"KEYS", b"*"), ours.ask(b"DBSIZE")
            if found[1] != set(keys) or len(keys) != size:
                raise Differs(f"SCAN {found[1]}, KEYS {keys}, DBSIZE {size}")

    def _any(self) -> None:
        """Some key: one of those there are, or none if there are none."""
        for wire in self._pair.talking:
            key, keys = wire.ask(b"RANDOMKEY"), wire.ask(b"KEYS", b"*")
            if key not in (keys or [None]):
                raise Differs(f"RANDOMKEY {key!r} is none of {keys}")
        self.tally.commands += 1
        self.tally.excused["order"] += 1

    def _ask(
        self,
        commands: list[Words],
        answered: list[Words] | None = None,
        *,
        by_hand: bool = False,
    ) -> None:
        """`answered`: those of the commands that get a reply, if not all."""
        expected = commands if answered is None else answered
        encode = (lambda words: typed(self._rng, words)) if by_hand else resp
        request = b"".join(map(encode, commands))
        theirs, ours = map(in_order, self._pair.ask(request, by_hand=by_hand))
        self.tally.commands += len(commands)
        for number, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            if one == other:
                self.tally.exact += 1
                continue
            words = expected[number] if len(theirs) <= len(expected) else [b"?"]
            reason = excuse(words, one, other)
            if reason is None:
                raise Differs(
                    f"{_shown(commands)}\nreply {number}, to {_shown([words])}:\n"
                    f"Redis {one[:300]!r}\nwe    {other[:300]!r}"
                )
            self.tally.excused[reason] += 1
        if len(theirs) != len(ours):
            raise Differs(f"{_shown(commands)}\nRedis {theirs}\nwe    {ours}")

    def _compare_events(self) -> None:
        theirs, ours = self._pair.heard()
        self.tally.events += len(theirs)
        if theirs != ours:
            raise Differs(f"events:\nRedis {theirs}\nwe    {ours}")


def _scan_all(wire: Wire, options: Words) -> set[bytes]:
    found: set[bytes] = set()
    cursor = b"0"
    for _ in range(MAX_PORTIONS):
        cursor, keys = wire.ask(b"SCAN", cursor, *options)
        found.update(keys)
        if cursor == b"0":
            return found
    raise Differs(f"SCAN {options} does not end")


def _shown(commands: list[Words]) -> str:
    return " ; ".join(
        " ".join(repr(word)[1:] for word in words)[:300] for words in commands
    )


def compare(
    directory: Path, ours: int, commands: int, seed: int, *, cluster: bool
) -> Tally:
    """Run a comparison against a Redis of its own."""
    with redis(directory, cluster=cluster) as theirs:
        pair = Pair(theirs, ours)
        try:
            # The peer may have served another run.
            pair.ask(resp([b"FLUSHALL"]) + resp([b"CONFIG", b"SET", EVENTS, b""]))
            pair.heard()
            return Comparison(pair, seed, cluster=cluster).run(commands)
        finally:
            pair.close()


EVENTS = b"notify-keyspace-events"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--storage", default="memory")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        user = Cluster(directory / "home")
        try:
            node = user.up("--storage", chosen.storage)[0]
            port = int(node.address.rpartition(":")[2])
            for cluster in (False, True):
                half = chosen.commands // 2
                tally = compare(directory, port, half, chosen.seed, cluster=cluster)
                print("a cluster:" if cluster else "one Redis:", tally)
        except Differs as difference:
            print(f"seed {chosen.seed}: {difference}")
            return 1
        finally:
            user.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
