"""shoal sim."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any

from cyclopts import Parameter

from shoal.cli.options import PLAYING, PlayOptions
from shoal.cli.outcome import FAILED, show
from shoal.errors import Misuse, Unanswered

# A thousand peers for a minute is what one processor plays in a few minutes.
MAX_PEERS = 1000


def sim(
    *,
    peers: int = 5,
    seed: int = 0,
    faults: str = "",
    play: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    seconds: float = 30.0,
    facts: bool = False,
    trace: bool = False,
    options: PlayOptions = PLAYING,
) -> int:
    """Play a whole network in one thread, as one seed has it.

    The same seed gives the same play, message by message. Ends with 1 if the peers
    do not agree in the end who is there.

    Parameters
    ----------
    peers
        How many peers, called p0, p1, and so on.
    seed
        The number that every chance follows from: the same gives the same play.
    faults
        What the network does to messages: any of
        'loss=0.25 duplication=0.1 corruption=0.01 latency=0.01-0.2'.
    play
        What happens in order, one command an argument, such as
        'run 10' 'crash p2' 'run 5'; also: restart, pause, resume,
        partition p0 p1 / p2, cut p0 p1, heal, slow.
    seconds
        How long to let it run at the end, in simulated seconds.
    facts
        Print whatever became true for a peer, not only what was lost.
    trace
        Print every effect of every machine.
    """
    from shoal.cli.rehearsal import Rehearsal

    if not 1 <= peers <= MAX_PEERS:
        raise Misuse(f"peers {peers}: from 1 to {MAX_PEERS}; see: shoal sim --help")
    stage = Rehearsal(seed)
    if not trace:
        stage.network.trace = None
    script = [f"faults {faults}"] if faults else []
    with _at_most(options.timeout):
        for line in [*script, f"peers {peers}", *play, f"run {seconds}"]:
            stage.play(line)
    told: dict[str, Any] = {
        "seed": seed,
        "agreed": stage.agreed(),
        "seconds": stage.network.now,
        "facts": [
            {"at": round(at, 4), "peer": peer, "fact": repr(fact)}
            for at, peer, fact in stage.network.facts
        ],
        "lost": _losses(stage.network.facts),
        "views": stage.views(),
        "trace": stage.network.trace or [],
    }
    if not (facts or options.json):
        told["facts"] = []
    show(told, as_json=options.json, people=_print)
    return 0 if told["agreed"] else FAILED


@contextmanager
def _at_most(timeout_s: float) -> Iterator[None]:
    """Bound what computes. A signal, since one command may be the whole play."""

    def ring(_: int, __: FrameType | None) -> None:
        raise Unanswered(
            f"simulation: not played to its end in {timeout_s:g} s; "
            "give it longer with --timeout, or play fewer --peers or --seconds"
        )

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _losses(facts: list[tuple[float, Any, Any]]) -> list[dict[str, Any]]:
    """Who was lost, by how many, and when first and last."""
    from shoal.members.facts import MemberLost

    times: dict[str, list[float]] = {}
    for at, _, fact in facts:
        if isinstance(fact, MemberLost):
            times.setdefault(fact.peer, []).append(round(at, 4))
    return [
        {"peer": peer, "by": len(each), "first": each[0], "last": each[-1]}
        for peer, each in times.items()
    ]


def _print(told: dict[str, Any]) -> None:
    for line in told["trace"]:
        print(line)
    for each in told["facts"]:
        print(f"{each['at']:9.4f} {each['peer']} {each['fact']}")
    for lost in told["lost"]:
        print(
            f"{lost['peer']} was lost by {lost['by']}, first at {lost['first']} s, "
            f"last at {lost['last']} s"
        )
    if not told["agreed"]:
        for peer, view in told["views"].items():
            print(f"{peer} sees {' '.join(view)}")
    agreed = "all agree" if told["agreed"] else "they do not agree"
    print(
        f"seed {told['seed']}: {agreed} after {told['seconds']:g} s on "
        f"{len(told['views'])} peers"
    )
