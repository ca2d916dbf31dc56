"""How fast members find one another and notice a death, and what it costs, simulated.

Networks of 5 to 1,000 peers, latency 0.2 to 3 ms. The rival is the goal: within 2 s of
silence up to 50 peers and 4 s at 1,000; traffic flat, so that of five peers is the
measure of all.
"""

import statistics
from collections.abc import Iterator

from bench.comparison import Row, less_is_better
from shoal.cli.rehearsal import Rehearsal
from shoal.core.machine import PeerId
from shoal.members.facts import MemberLost
from shoal.sim.faults import Faults

LATENCY_S = (0.0002, 0.003)

# Networks and how many deaths are watched in each.
FULL = {5: 200, 50: 60, 200: 12, 1000: 3}
QUICK = {5: 40, 50: 5, 200: 1}

# What a network may take to find itself when all start at once: nobody asked for it.
CONVERGED_S = 5.0
CALM_S = 10.0


def run(*, quick: bool) -> list[Row]:
    """Every size, smallest first."""
    rows: list[Row] = []
    flat = 0.0
    for peers, deaths in (QUICK if quick else FULL).items():
        found_s, bytes_s, noticed = _play(peers, deaths)
        flat = flat or bytes_s
        goal_s = 2.0 if peers <= 50 else 4.0
        noticed.sort()
        median, late = statistics.median(noticed), noticed[int(len(noticed) * 0.99)]
        name = f"{peers} peers"
        rows += [
            less_is_better(f"{name}: all found", "s", found_s, "goal", CONVERGED_S),
            less_is_better(f"{name}: death known, p50", "s", median, "goal", goal_s),
            less_is_better(f"{name}: death known, p99", "s", late, "goal", goal_s),
            less_is_better(f"{name}: sent", "B/s", bytes_s, "5 peers", flat),
        ]
    return rows


def _play(peers: int, deaths: int) -> tuple[float, float, list[float]]:
    """Seconds until all are found, bytes a peer and second in calm, times to notice."""
    stage = Rehearsal(peers, Faults(latency_s=LATENCY_S))
    network = stage.network
    network.trace = None
    stage.peers(str(peers))
    while not stage.agreed():
        assert network.now < CONVERGED_S * 4, "they never find one another"
        stage.run(0.05)
    found_s = network.now
    stage.run(CALM_S)
    before = sum(node.sent_bytes for node in network.nodes.values())
    stage.run(CALM_S)
    sent = sum(node.sent_bytes for node in network.nodes.values()) - before
    noticed = [time for n in range(deaths) for time in _death(stage, PeerId(f"p{n}"))]
    return found_s, sent / peers / CALM_S, noticed


def _death(stage: Rehearsal, victim: PeerId) -> Iterator[float]:
    """When each of the others knew of a silent death; then the victim comes back."""
    if len(stage.machines) < 2 or victim not in stage.machines:
        victim = min(stage.machines)
    died, first = stage.network.now, len(stage.network.facts)
    stage.crash(victim, "silent")
    stage.run(6)
    for at, _, fact in stage.network.facts[first:]:
        if isinstance(fact, MemberLost) and fact.peer == victim:
            yield at - died
    stage.restart(victim)
    stage.run(4)
