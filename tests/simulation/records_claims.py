"""What must hold of claims on a hostile network, with clocks that run apart."""

from functools import partial
from typing import NamedTuple

from shoal.core.machine import PeerId
from shoal.table.records.messages import Answer, Create, Done, Take
from tests.simulation.records import IDS, KIND, Clerk, Town
from tests.simulation.records_properties import beginning, end_faults, misfortune

SECONDS = 2.0


class Held(NamedTuple):
    """Somebody had it, from when it was told so until its own clock said otherwise."""

    token: int
    since: float
    until: float


class Claimants:
    """One at each peer, who wants the one record there is."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.held: list[Held] = []
        self._tokens: dict[PeerId, int] = {}
        self._busy: dict[PeerId, Clerk] = {}

    def act(self, name: PeerId) -> None:
        """Claim it, or say that it is still wanted."""
        town = self.town
        clerk = town.clerks.get(name)
        if clerk is None or self._busy.get(name) is clerk:
            return
        self._busy[name] = clerk
        token = self._tokens.get(name, 0) if town.rng.random() < 0.5 else 0
        until = town.network.now + SECONDS / town.clocks[name].rate
        told = partial(self._told, name, token, until)
        what = Take(KIND, IDS[0], SECONDS, token)
        clerk.ask(town.rng.getrandbits(62), what, 5, told)

    def _told(
        self, name: PeerId, token: int, until: float, answer: Answer | None, now: float
    ) -> None:
        self._busy.pop(name, None)
        if isinstance(answer, Done):
            self._tokens[name] = token or answer.version
            self.held.append(Held(self._tokens[name], now, until))
        elif answer is not None:
            self._tokens.pop(name, None)


def a_claim_is_ones(seed: int) -> None:
    """No two have one record at a time, whoever owns it, and tokens rise."""
    clients = beginning(seed, [3, 5, 2][seed % 3])
    town, claimants = clients.town, Claimants(clients.town)
    first = town.clerks[town.names[0]]
    made: list[Answer | None] = []
    while not any(isinstance(answer, Done) for answer in made):
        number = town.rng.getrandbits(62)
        first.ask(number, Create(KIND, IDS[0], b""), 5, lambda got, _: made.append(got))
        town.run(6)
    for _ in range(120):
        claimants.act(town.rng.choice(town.names))
        town.run(town.rng.uniform(0, 0.3))
        misfortune(town)
    end_faults(town)
    expect_one_at_a_time(claimants.held)


def expect_one_at_a_time(held: list[Held]) -> None:
    until: dict[int, float] = {}
    for each in sorted(held, key=lambda one: one.since):
        others = [token for token in until if token != each.token]
        for token in others:
            if each.until > each.since:  # Else it had ended when it was told.
                assert until[token] <= each.since, f"{token} was held beside {each}"
        until[each.token] = max(until.get(each.token, 0.0), each.until)
