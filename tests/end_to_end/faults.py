"""What is done to real peers on machines of their own: killed, halted, cut off."""

import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from shoal.core.machine import Address
from tests.end_to_end.cluster import Node, wait_until
from tests.end_to_end.namespaces import Machine, Namespaces

# How often each is drawn. A third of what cuts, cuts one way.
KINDS = {"killed": 6, "stopped": 4, "cut off": 4, "deaf": 1, "mute": 1, "all killed": 1}
TWO_SHARE, BOTH_SHARE, LONG_SHARE = 0.3, 0.2, 0.25

# A silent peer is held for dead within some 5 s, and a client told so within 2 more; a
# long fault lasts longer than all of that and what is done about it.
SHORT_S, LONG_S = (0.3, 4.0), (12.0, 20.0)

END_S = 10.0


@dataclass(frozen=True)
class Fault:
    """Something that happens to some of the peers, by number."""

    kind: str
    victims: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind} {', '.join(map(str, self.victims))}"


@dataclass(frozen=True)
class Trial:
    """One round: what happens, all at once, and for how long."""

    faults: tuple[Fault, ...]
    seconds: float

    @property
    def title(self) -> str:
        """What rounds of its sort are told under."""
        if len(self.faults) > 1:
            return "two at once"
        (fault,) = self.faults
        count = len(fault.victims)
        return fault.kind if count == 1 or "all" in fault.kind else f"two {fault.kind}"

    @property
    def victims(self) -> set[int]:
        return {victim for fault in self.faults for victim in fault.victims}


def draw(rng: Random, peers: int) -> Trial:
    """A round; seldom more than a minority is hurt."""
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    seconds = rng.uniform(*(LONG_S if rng.random() < LONG_SHARE else SHORT_S))
    numbers = list(range(peers))
    rng.shuffle(numbers)
    if kind == "all killed":
        return Trial((Fault(kind, tuple(numbers)),), seconds)
    if peers >= 5 and rng.random() < BOTH_SHARE:
        others = {each: n for each, n in KINDS.items() if each != "all killed"}
        other = rng.choices(list(others), list(others.values()))[0]
        both = Fault(kind, (numbers[0],)), Fault(other, (numbers[1],))
        return Trial(both, seconds)
    count = 2 if peers >= 5 and rng.random() < TWO_SHARE else 1
    return Trial((Fault(kind, tuple(numbers[:count])),), seconds)


class Peers:
    """A network of peers, each on a machine of its own."""

    def __init__(self, lan: Namespaces) -> None:
        self.lan = lan
        self.nodes: list[Node] = []
        for machine in lan.machines:
            self.nodes.append(_join(machine, self.nodes))

    @property
    def addresses(self) -> list[Address]:
        return [node.address for node in self.nodes]

    def hurt(self, trial: Trial) -> None:
        """Let it happen."""
        for fault in trial.faults:
            victims, others = self._sides(fault)
            match fault.kind:
                case "killed" | "all killed":
                    self._kill(fault.victims)
                case "stopped":
                    for victim in fault.victims:
                        self.nodes[victim].kill(signal.SIGSTOP)
                case "cut off":
                    self.lan.part(victims, others)
                case "deaf":
                    self.lan.deafen(victims, others)
                case "mute":
                    self.lan.deafen(others, victims)

    def mend(self, trial: Trial) -> None:
        """Let everybody go on, and start again who was killed."""
        self.lan.lift()
        dead: list[int] = []
        for fault in trial.faults:
            if fault.kind == "stopped":
                for victim in fault.victims:
                    self.nodes[victim].kill(signal.SIGCONT)
            elif "killed" in fault.kind:
                dead += fault.victims
        with ThreadPoolExecutor() as starting:  # One may need another to come up.
            list(starting.map(self._restart, dead))

    def majority(self, trial: Trial) -> list[Address]:
        """Whom nothing happened to, if these are more than half of all."""
        well = [each for n, each in enumerate(self.addresses) if n not in trial.victims]
        return well if 2 * len(well) > len(self.nodes) else []

    def _kill(self, victims: Sequence[int]) -> None:
        dying = [self.nodes[victim] for victim in victims]
        for node in dying:
            node.kill()
        wait_until(
            lambda: not any(node.runs for node in dying),
            END_S,
            f"{[node.name for node in dying]} to end",
        )

    def _restart(self, n: int) -> None:
        directory = self.nodes[n].directory
        self.nodes[n] = self.lan.machines[n].up("--dir", str(directory))

    def _sides(self, fault: Fault) -> tuple[list[Machine], list[Machine]]:
        victims = [self.lan.machines[n] for n in fault.victims]
        return victims, [each for each in self.lan.machines if each not in victims]


def _join(machine: Machine, there: Sequence[Node]) -> Node:
    """The first founds the network; the others join it."""
    if not there:
        return machine.up()
    token = str(there[0].directory / "token")
    return machine.up("--join", there[0].address, "--token", token)
