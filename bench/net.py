"""Links and streams of two peers, beside pyzmq and beside bare asyncio streams.

Two processes each, over TCP on loopback: small requests one at a time and 256 in
flight, a long stream, and small calls while a stream runs at full speed.
"""

import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

from bench.comparison import (
    US,
    Pair,
    Round,
    Row,
    Standing,
    alternate,
    fastest,
    less_is_better,
    more_is_better,
    pair,
)

OURS, ZEROMQ, NUMBERED, ASYNCIO = "ours", "pyzmq", "numbered pyzmq", "asyncio streams"

PEERS = "bench.two_peers"
ZEROMQ_MODULE = "bench.rivals.zeromq"
ASYNCIO_MODULE = "bench.rivals.asyncio_streams"

IN_FLIGHT = 256
MIB = 1 << 20
GIB = 1 << 30

Contenders = Mapping[str, Callable[[], Round]]


def run(*, quick: bool) -> list[Row]:
    """Every row of this comparison."""
    rounds, seconds = (3, 0.5) if quick else (7, 2.0)
    size_bytes, calls = (128 * MIB, 500) if quick else (GIB, 2000)
    with ExitStack() as pairs:
        peers = pairs.enter_context(pair(PEERS))
        bare = pairs.enter_context(pair(ASYNCIO_MODULE))
        forms = {
            form: pairs.enter_context(pair(ZEROMQ_MODULE, form))
            for form in ("req", "dealer", "router", "numbered", "push")
        }
        return [
            *one_at_a_time(peers, bare, forms, rounds, seconds),
            *in_flight(peers, bare, forms, rounds, seconds),
            *stream(peers, bare, forms["push"], rounds, size_bytes),
            small_calls_beside_a_stream(peers, rounds, calls),
        ]


def one_at_a_time(
    peers: Pair, bare: Pair, forms: Mapping[str, Pair], rounds: int, seconds: float
) -> list[Row]:
    """Each request waits for the answer to the one before."""
    alone = partial(Pair.run, do="one at a time", seconds=seconds)
    contenders: Contenders = {
        OURS: lambda: peers.run("in flight", seconds=seconds, window=1),
        f"{ZEROMQ} REQ/REP": partial(alone, forms["req"]),
        f"{ZEROMQ} DEALER/DEALER": partial(alone, forms["dealer"]),
        f"{ZEROMQ} DEALER/ROUTER": partial(alone, forms["router"]),
        ASYNCIO: partial(alone, bare),
    }
    standings = alternate(contenders, rounds)
    return _rates("round trips, one at a time", standings, (ZEROMQ, ASYNCIO))


def in_flight(
    peers: Pair, bare: Pair, forms: Mapping[str, Pair], rounds: int, seconds: float
) -> list[Row]:
    """Many requests wait for their answers at any time."""
    many = partial(Pair.run, do="in flight", seconds=seconds, window=IN_FLIGHT)
    contenders: Contenders = {
        OURS: partial(many, peers),
        f"{ZEROMQ} DEALER/ROUTER": partial(many, forms["router"]),
        f"{NUMBERED} DEALER/ROUTER": partial(many, forms["numbered"]),
        ASYNCIO: partial(many, bare),
    }
    standings = alternate(contenders, rounds)
    rivals = (ZEROMQ, NUMBERED, ASYNCIO)
    return _rates(f"round trips, {IN_FLIGHT} in flight", standings, rivals)


def _rates(
    measure: str, standings: Mapping[str, Standing], rivals: tuple[str, ...]
) -> list[Row]:
    rows, ours = [], standings[OURS]
    for rival in rivals:
        name = fastest(standings, rival)
        theirs = standings[name]
        rows.append(more_is_better(measure, "1/s", ours.rate, name, theirs.rate))
        costs = ours.cost_s * US, theirs.cost_s * US
        rows.append(
            less_is_better(f"{measure}: CPU each", "us", costs[0], name, costs[1])
        )
    return rows


def stream(
    peers: Pair, bare: Pair, pushing: Pair, rounds: int, size_bytes: int
) -> list[Row]:
    """One long stream, from the first byte to the news that the last one came."""
    whole = partial(Pair.run, do="stream", size_bytes=size_bytes)
    contenders: dict[str, Callable[[], Round]] = {OURS: partial(whole, peers)}
    for chunk in (64, 256, 1024):
        size = {"chunk_bytes": chunk << 10}
        contenders[f"{ZEROMQ} {chunk} KiB"] = partial(whole, pushing, **size)
        contenders[f"{ASYNCIO} {chunk} KiB"] = partial(whole, bare, **size)
    standings = alternate(contenders, rounds)
    measure = f"stream of {size_bytes // MIB} MiB"
    rows, ours = [], standings[OURS]
    for rival in (ZEROMQ, ASYNCIO):
        name = fastest(standings, rival)
        theirs = standings[name]
        rates = ours.rate / 1e6, theirs.rate / 1e6
        rows.append(more_is_better(measure, "MB/s", rates[0], name, rates[1]))
        costs = ours.cost_s * GIB, theirs.cost_s * GIB
        rows.append(
            less_is_better(f"{measure}: CPU", "s/GiB", costs[0], name, costs[1])
        )
    return rows


def small_calls_beside_a_stream(peers: Pair, rounds: int, calls: int) -> Row:
    """How much longer a small call takes while a stream runs at full speed."""
    idle, during = [], []
    peers.keep_apart()
    for _ in range(rounds):
        idle.append(peers.tell("p99", calls=calls, streaming=False)["p99_us"])
        during.append(peers.tell("p99", calls=calls, streaming=True)["p99_us"])
    medians = statistics.median(during), statistics.median(idle)
    measure = "p99 of a small call beside a stream, a core each"
    return less_is_better(measure, "us", medians[0], "idle", medians[1])
