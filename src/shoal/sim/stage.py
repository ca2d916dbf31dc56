"""A simulated network as a play: commands a person can read, one a line.

  peers 5 | run 10 | crash p2 | crash p2 silent | restart p2 | pause p2 | resume p2
  partition p0 p1 / p2 p3 p4 | cut p0 p1 | heal | move p2 p5 | slow p3 0.2
  faults loss=0.1 duplication=0.1 corruption=0.01 latency=0.01-0.05

Transcripts, `shoal sim` and property tests all play on it. What the machines are is
the business of whoever sets the stage.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Generic, Protocol

from shoal.core.machine import Address, FactT, Machine, MessageT, PeerId
from shoal.core.wire import Codec
from shoal.errors import Misuse
from shoal.sim.faults import CALM, Clock, Faults
from shoal.sim.network import Network, address_of

Command = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a machine needs to know to play its part."""

    peer: PeerId
    address: Address
    seeds: tuple[Address, ...]
    generation: int
    rng: Random
    now: float


class Casting(Protocol[MessageT, FactT]):
    """Makes the machine of one peer, at its start and at every restart."""

    def __call__(self, part: Part) -> Machine[MessageT, FactT]:
        """A machine in its first state."""


@dataclass(slots=True)
class _Actor:
    address: Address
    generation: int = 1
    clock: Clock = field(default_factory=Clock)
    slow_s: float = 0.0


class Stage(Generic[MessageT, FactT]):
    """A network, who is on it, and the commands to it."""

    def __init__(
        self,
        seed: int,
        codec: Codec[MessageT],
        casting: Casting[MessageT, FactT],
        faults: Faults = CALM,
    ) -> None:
        self.network: Network[MessageT, FactT] = Network(seed, codec, faults)
        self.machines: dict[PeerId, Machine[MessageT, FactT]] = {}
        self._casting = casting
        self._actors: dict[PeerId, _Actor] = {}
        self._rng = self.network.rng()
        self._seeds: tuple[Address, ...] = ()

    def play(self, line: str) -> None:
        """Perform one command."""
        verb, *words = line.split()
        commands: dict[str, Command] = {
            "peers": self.peers,
            "run": self.run,
            "crash": self.crash,
            "restart": self.restart,
            "pause": self.pause,
            "resume": self.resume,
            "partition": self.partition,
            "cut": self.cut,
            "heal": self.heal,
            "move": self.move,
            "slow": self.slow,
            "faults": self.faults,
        }
        if verb not in commands:
            raise Misuse(f"command {verb!r}: unknown; use {', '.join(commands)}")
        try:
            commands[verb](*words)
        except TypeError as error:
            cause = "too few or too many words"
            raise Misuse(f"command {line!r}: {cause}; see: shoal sim --help") from error
        except KeyError as error:
            cause = f"no peer {error} is there"
            raise Misuse(f"command {line!r}: {cause}; see: shoal sim --help") from error
        except ValueError as error:
            raise Misuse(f"command {line!r}: {error}; see: shoal sim --help") from error

    # Commands

    def peers(self, *names: str) -> None:
        """Start peers by these names, or so many; each knows the first one."""
        if len(names) == 1 and names[0].isdigit():
            names = tuple(f"p{n}" for n in range(int(names[0])))
        self._seeds = self._seeds or (address_of(PeerId(names[0])),)
        for name in names:
            peer = PeerId(name)
            self._actors.setdefault(peer, _Actor(address_of(peer)))
            self._start(peer)

    def run(self, seconds: str | float) -> None:
        """Let time pass."""
        if not float(seconds) >= 0:
            raise ValueError("time does not run backwards")
        self.network.run(float(seconds))

    def crash(self, name: str, manner: str = "") -> None:
        """End a peer; `silent` if its machine goes down with it."""
        self.network.crash(PeerId(name), silent=manner == "silent")
        del self.machines[PeerId(name)]

    def restart(self, name: str) -> None:
        """Start a crashed peer again, with what its disk kept."""
        self._actors[PeerId(name)].generation += 1
        self._start(PeerId(name))

    def move(self, name: str, to: str) -> None:
        """Start a new peer at the address that another had."""
        self._actors[PeerId(to)] = _Actor(self._actors[PeerId(name)].address)
        self._start(PeerId(to))

    def pause(self, name: str) -> None:
        """Let a peer see no time pass."""
        self.network.pause(PeerId(name))

    def resume(self, name: str) -> None:
        """Let it go on."""
        self.network.resume(PeerId(name))

    def partition(self, *words: str) -> None:
        """Cut the network into islands, separated by slashes."""
        islands = [island.split() for island in " ".join(words).split("/")]
        self.network.partition(*([PeerId(each) for each in one] for one in islands))

    def cut(self, sender: str, target: str) -> None:
        """Let nothing pass from one to the other."""
        self.network.cut(PeerId(sender), PeerId(target))

    def heal(self) -> None:
        """Mend every wire."""
        self.network.heal()

    def slow(self, name: str, seconds: str | float) -> None:
        """Let a peer take so long over each message from now on."""
        self._actors[PeerId(name)].slow_s = float(seconds)
        self.network.nodes[PeerId(name)].slow_s = float(seconds)

    def drift(self, name: str, clock: Clock) -> None:
        """Give a peer's clock an error; to be called before it starts."""
        self._actors[PeerId(name)] = _Actor(address_of(PeerId(name)), clock=clock)

    def faults(self, *settings: str) -> None:
        """Change what the network does to messages: name=value."""
        changes: dict[str, float | tuple[float, float]] = {}
        for setting in settings:
            name, _, value = setting.partition("=")
            if name == "latency":
                low, _, high = value.partition("-")
                changes["latency_s"] = (float(low), float(high or low))
            elif name in ("loss", "duplication", "corruption"):
                if not 0 <= float(value or "nan") <= 1:
                    raise ValueError(f"{name} is a share from 0 to 1")
                changes[name] = float(value)
            else:
                raise ValueError(
                    f"{name!r} is none of loss, duplication, corruption, latency"
                )
        self.network.faults = replace(self.network.faults, **changes)  # type: ignore[arg-type]

    def _start(self, peer: PeerId) -> None:
        actor = self._actors[peer]
        machine = self._casting(
            Part(
                peer=peer,
                address=actor.address,
                seeds=self._seeds,
                generation=actor.generation,
                rng=self.network.rng(),
                now=actor.clock.read(self.network.now),
            )
        )
        self.machines[peer] = machine
        self.network.add(
            peer,
            machine,
            address=actor.address,
            clock=actor.clock,
            slow_s=actor.slow_s,
        )
