"""Who is alive: SWIM with Lifeguard, one peer's part of it.

Each peer probes one other per interval. Whom nobody reaches - directly, through
helpers, nor by TCP - is suspected; who does not contradict in time is dead, for all.
News rides on probes, and a peer that was slow itself doubts itself first.

After Das, Gupta, Motivala, "SWIM", and Dadgar, Phillips, Currey, "Lifeguard".
"""

import math
from collections.abc import Iterable
from random import Random

from shoal.core.machine import Address, Cast, Emit, Meet, PeerId, Send
from shoal.members.beliefs import Beliefs, MembersEffects
from shoal.members.exchange import Exchange
from shoal.members.facts import MemberFound, MemberLeft, MemberLost, MembersFact
from shoal.members.messages import (
    Ack,
    Digest,
    Gossip,
    MembersMessage,
    Nack,
    Ping,
    PingRequest,
    Profile,
    Reason,
    State,
    Sync,
)
from shoal.members.prober import Prober
from shoal.members.probes import Probes
from shoal.members.roster import Member, Roster
from shoal.members.settings import MembersSettings

# memberlist's: a round of telling reaches three.
FANOUT = 3

# A departing peer tells so many directly; they tell the rest.
FAREWELLS = 50


class Members:
    """One peer's view of the network."""

    def __init__(
        self,
        profile: Profile,
        seeds: Iterable[Address],
        settings: MembersSettings,
        *,
        generation: int,
        rng: Random,
        now: float,
    ) -> None:
        self._settings = settings
        self._rng = rng
        self._seeds = [seed for seed in seeds if seed != profile.address]
        self._beliefs = Beliefs(
            profile, settings, generation=generation, rng=rng, now=now
        )
        self._prober = Prober(self._beliefs, Probes(rng), settings)
        self._exchange = Exchange(self._beliefs)
        # Who answered at a seed contact, whose record may give another address.
        self._lives_at: dict[Address, PeerId] = {}
        self._gone = False
        self._probe_due = now
        self._digest_pause = settings.gossip_s
        self._digest_due = now + self._digest_pause
        self._reunion_due = now
        self.deadline = now

    @property
    def me(self) -> Member:
        """Our own line of the roster."""
        me = self._beliefs.me
        return Member(me, self._beliefs.since, {me.witness: None})

    @property
    def roster(self) -> Roster:
        """Everybody else's."""
        return self._beliefs.roster

    @property
    def size(self) -> int:
        """How many are present, ourselves among them."""
        return self._beliefs.size

    @property
    def slowness(self) -> int:
        """By how much we stretch our patience, since we hear badly."""
        return self._beliefs.health.slowness

    # Inputs

    def receive(
        self, sender: PeerId, message: MembersMessage, now: float
    ) -> MembersEffects:
        """React to what came over a link."""
        return self._react(None, sender, message, now)

    def catch(
        self, source: Address, sender: PeerId, message: MembersMessage, now: float
    ) -> MembersEffects:
        """React to a datagram, and to where it came from."""
        return self._react(source, sender, message, now)

    def met(self, peer: PeerId, address: Address, now: float) -> MembersEffects:
        """Somebody answered where we asked to meet: compare what we know."""
        if self._gone:
            return []
        if address in self._seeds:
            self._lives_at[address] = peer
        if peer == self._beliefs.me.profile.peer:
            return []
        return [Send(peer, self._exchange.digest())]

    def refused(self, peer: PeerId, now: float) -> MembersEffects:
        """Nobody listens any more where the peer was."""
        if self._gone:
            return []
        return self._settle(now, self._beliefs.accuse(peer, Reason.REFUSED, now))

    def change(self, profile: Profile, now: float) -> MembersEffects:
        """Say something else of ourselves from now on."""
        self._beliefs.change(profile, now)
        return self._settle(now, [])

    def leave(self, reason: Reason, now: float) -> MembersEffects:
        """Say goodbye, and fall silent."""
        self._gone = True
        self.deadline = math.inf
        goodbye = Gossip((self._beliefs.leave(reason),))
        told = [each.news.profile for each in self._beliefs.some(FAREWELLS)]
        effects: MembersEffects = []
        effects += [Cast(each.address, goodbye) for each in told]
        effects += [Send(each.peer, goodbye) for each in told[:FANOUT]]
        return effects

    def wake(self, now: float) -> MembersEffects:
        """Do what is due."""
        if self._gone:
            return []
        if now - self.deadline > self._settings.patience_s / 2:
            self._overslept(now - self.deadline)
        effects = self._prober.judge(
            now, lambda peer: self._beliefs.accuse(peer, Reason.SILENT, now)
        )
        effects += self._beliefs.judge(now)
        if now >= self._probe_due:
            pause = self._settings.interval_s * self._beliefs.health.slowness
            self._probe_due = now + pause
            effects += self._prober.ask_next(now)
        if now >= self._digest_due:
            self.roster.forget(now - self._settings.grace_s)
            effects += self._compare(now)
        if now >= self._reunion_due:
            effects += self._reunite(now)
        if now >= self._beliefs.rumours.due:
            effects += self._gossip(now)
        return self._settle(now, effects)

    # Reactions

    def _react(
        self,
        source: Address | None,
        sender: PeerId,
        message: MembersMessage,
        now: float,
    ) -> MembersEffects:
        if self._gone or sender == self._beliefs.me.profile.peer:
            return []
        effects: MembersEffects
        match message:
            case Ping(news=news):
                effects = self._beliefs.hear(news, now)
                effects += self._prober.answer(source, sender, message)
            case Ack(news=news):
                effects = self._beliefs.hear(news, now)
                effects += self._prober.acked(source, sender, message, now)
            case PingRequest(news=news):
                effects = self._beliefs.hear(news, now)
                effects += self._prober.run_errand(source, sender, message, now)
            case Nack(nonce):
                self._prober.nacked(sender, nonce)
                effects = []
            case Gossip(news):
                effects = self._beliefs.hear(news, now)
            case Digest():
                effects = self._exchange.compared(sender, message, now)
            case Sync():
                effects = self._exchange.learned(sender, message, now)
                self._compare_soon(now)
        return self._settle(now, effects)

    def _compare_soon(self, now: float) -> None:
        # Where one exchange found differences, another may: a newcomer, or a whole
        # network started at once, is level after a few.
        self._digest_pause = self._settings.gossip_s
        soon = now + self._digest_pause * self._rng.uniform(0.5, 1)
        self._digest_due = min(self._digest_due, soon)

    def _overslept(self, lateness_s: float) -> None:
        # What we did not hear while the machine gave us no time proves nothing. The
        # datagrams that came meanwhile are read next: grant one patience for that.
        grant = lateness_s + self._settings.patience_s
        self._prober.grant(grant)
        self._beliefs.grant(grant)
        self._beliefs.health.worsen(1)

    def _attend(self, fact: MembersFact) -> None:
        match fact:
            case MemberFound(profile):
                self._prober.greet(profile.peer)
            case MemberLost(peer) | MemberLeft(peer):
                self._prober.forget(peer)

    # Telling, unasked

    def _gossip(self, now: float) -> MembersEffects:
        effects: MembersEffects = []
        for each in self._beliefs.some(FANOUT):
            if news := self._beliefs.tell(each.news.profile.peer):
                effects += self._prober.to(each.news.profile, Gossip(news))
        self._beliefs.rumours.rest(now + self._settings.gossip_s)
        return effects

    def _compare(self, now: float) -> MembersEffects:
        """Compare with one other; twice as rarely each time nothing is found."""
        self._digest_due = now + self._digest_pause * self._rng.uniform(0.8, 1)
        self._digest_pause = min(2 * self._digest_pause, self._settings.digest_s)
        digest = self._exchange.digest()
        return [
            effect
            for each in self._beliefs.some(1)
            for effect in self._prober.to(each.news.profile, digest)
        ]

    def _reunite(self, now: float) -> MembersEffects:
        """Call on somebody we miss: it is how a healed partition rejoins."""
        members = list(self.roster.members)
        present = {each.news.profile.address for each in members if each.present}
        absent = [
            *self._seeds,
            *(
                each.news.profile.address
                for each in members
                if each.news.state == State.DEAD
            ),
        ]
        present |= {
            address
            for address, peer in self._lives_at.items()
            if peer in self.roster.present or peer == self._beliefs.me.profile.peer
        }
        missed = [address for address in absent if address not in present]
        if self.size == 1:
            self._reunion_due = now + self._settings.verdict_s
            seeds = missed[: len(self._seeds)]
        else:
            self._reunion_due = now + self._settings.reunion_s
            seeds = []
        called = seeds or self._rng.sample(missed, min(1, len(missed)))
        return [Meet(address) for address in called]

    def _settle(self, now: float, effects: MembersEffects) -> MembersEffects:
        """Ask whom we must, and set the deadline to whatever is due first."""
        for effect in effects:
            if isinstance(effect, Emit):
                self._attend(effect.fact)
        while self._beliefs.to_ask:
            peer = self._beliefs.to_ask.pop()
            effects += self._prober.ask(peer, now, by_link=True)
        due = min(
            self._probe_due,
            self._digest_due,
            self._reunion_due,
            self._beliefs.rumours.due,
            self._beliefs.due,
            self._prober.due,
        )
        # What became due at once is not late: only what waited has been overslept.
        self.deadline = max(now, due)
        return effects
