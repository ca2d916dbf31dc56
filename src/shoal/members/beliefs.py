"""What is believed of everybody, and how a belief changes.

The invariant: of two statements about a peer the one about its later life stands, so
all who exchange enough news believe the same. A verdict binds all, so only who has
asked in vain himself may speak it.
"""

import math
from collections.abc import Iterable
from random import Random
from typing import cast

from msgspec.structs import replace

from shoal.core.machine import Cast, Effects, Emit, PeerId
from shoal.members.facts import (
    MemberCleared,
    MemberFound,
    MemberLeft,
    MemberLost,
    MembersFact,
    MemberSuspected,
)
from shoal.members.health import Health
from shoal.members.messages import (
    Gossip,
    Incarnation,
    MembersMessage,
    News,
    Profile,
    Reason,
    State,
)
from shoal.members.roster import Member, Roster, rank
from shoal.members.rumours import Rumours
from shoal.members.settings import MembersSettings
from shoal.members.suspicion import Suspicion

# So many give a second opinion of a suspected member, on average.
SECOND_OPINIONS = 5

# Half of what a number on the wire can be, so that one more can always be said.
MAX_GENERATION = 2**61

MembersEffects = Effects[MembersMessage, MembersFact]


class Beliefs:
    """The roster, the doubts about it, and ourselves."""

    def __init__(
        self,
        profile: Profile,
        settings: MembersSettings,
        *,
        generation: int,
        rng: Random,
        now: float,
    ) -> None:
        life = Incarnation(generation)
        self.me = News(profile, life, State.ALIVE, profile.peer, Reason.ANSWERS)
        self.since = now
        self.roster = Roster()
        self.rumours = Rumours()
        self.health = Health()
        # Whom to probe now, besides whose turn it is.
        self.to_ask: list[PeerId] = []
        self._doubts: dict[PeerId, Suspicion] = {}
        self._settings = settings
        self._rng = rng
        self.rumours.spread(self.me, now)

    @property
    def size(self) -> int:
        """How many are present, ourselves among them."""
        return len(self.roster.present) + 1

    @property
    def due(self) -> float:
        """When the next doubt becomes a verdict."""
        return min((doubt.due for doubt in self._doubts.values()), default=math.inf)

    def some(self, count: int) -> list[Member]:
        """So many of the present, at random."""
        present = list(self.roster.present.values())
        return self._rng.sample(present, min(count, len(present)))

    def tell(self, listener: PeerId) -> tuple[News, ...]:
        """What that peer should hear with the next message to it."""
        listening = self.roster.present.get(listener)
        if listening and listening.news.state == State.SUSPECT:
            # Told as long as it is doubted, for only it can contradict.
            return self.rumours.pick(self.size, listening.news)
        return self.rumours.pick(self.size)

    # What we say of ourselves

    def change(self, profile: Profile, now: float) -> None:
        """Say something else of ourselves from now on."""
        life = self._contradict(self.me.incarnation)
        self.me = replace(self.me, profile=profile, incarnation=life)
        self.rumours.spread(self.me, now)

    def leave(self, reason: Reason) -> News:
        """Say that we are gone."""
        self.me = replace(self.me, state=State.LEFT, reason=reason)
        return self.me

    def _refute(self, news: News, now: float) -> None:
        # An "alive" that outranks us is another of our name, or our own next life:
        # not ours to contradict.
        if news.state == State.ALIVE or rank(news) <= rank(self.me):
            return
        if news.incarnation.generation >= MAX_GENERATION:
            return  # Invented: nobody has lived so often.
        self.health.worsen(1)
        self.me = replace(self.me, incarnation=self._contradict(news.incarnation))
        self.rumours.spread(self.me, now)

    @staticmethod
    def _contradict(life: Incarnation) -> Incarnation:
        if life.refutation + 1 < MAX_GENERATION:
            return Incarnation(life.generation, life.refutation + 1)
        return Incarnation(life.generation + 1)

    # What we hear

    def hear(self, all_news: Iterable[News], now: float) -> MembersEffects:
        """Take over whatever is newer than what we believe, and pass it on."""
        return [effect for news in all_news for effect in self.believe(news, now)]

    def believe(
        self, news: News, now: float, *, quietly: bool = False
    ) -> MembersEffects:
        """Take one statement over if it is newer; pass it on unless `quietly`."""
        peer = news.profile.peer
        if peer == self.me.profile.peer:
            self._refute(news, now)
            return []
        before = self.roster.get(peer)
        was = before.news if before else None
        if self.roster.merge(news, now):
            if not quietly:
                self.rumours.spread(news, now)
            return self._turn(was, news, now)
        if news.state == State.SUSPECT and was:
            if self.roster.attest(news):
                self._confirm(news, now)
            elif rank(news) < rank(was):
                # Somebody has not heard the contradiction: tell it once more.
                self.rumours.spread(was, now)
        return []

    def _turn(self, was: News | None, news: News, now: float) -> MembersEffects:
        """Act upon a belief that has changed."""
        peer = news.profile.peer
        self._doubts.pop(peer, None)
        absent = was is None or was.state >= State.DEAD
        match news.state:
            case State.ALIVE if self._is_another(was, news):
                return [Emit(MemberFound(news.profile, news.incarnation))]
            case State.ALIVE:
                doubted = was is not None and was.state == State.SUSPECT
                return [Emit(MemberCleared(peer))] if doubted else []
            case State.SUSPECT if self._is_another(was, news):
                effects = self._doubt(news, now)
                effects.insert(0, Emit(MemberFound(news.profile, news.incarnation)))
                return effects
            case State.SUSPECT:
                return self._doubt(news, now)
            case State.DEAD | State.LEFT:
                return [] if absent else [self._mourn(news)]

    @staticmethod
    def _is_another(was: News | None, news: News) -> bool:
        """Is it new here, or back, or restarted, or does it say something else?"""
        return (
            was is None
            or was.state >= State.DEAD
            or was.profile != news.profile
            or was.incarnation.generation != news.incarnation.generation
        )

    def _mourn(self, news: News) -> Emit[MembersFact]:
        peer = news.profile.peer
        if news.state == State.LEFT:
            return Emit(MemberLeft(peer, news.reason))
        member = cast("Member", self.roster.get(peer))
        return Emit(MemberLost(peer, tuple(member.witnesses), news.reason))

    # Doubts

    def accuse(self, peer: PeerId, reason: Reason, now: float) -> MembersEffects:
        """Doubt a member: we asked in vain, or were refused."""
        member = self.roster.present.get(peer)
        if member is None:
            return []
        accusation = replace(
            member.news, state=State.SUSPECT, witness=self.me.witness, reason=reason
        )
        effects = self.believe(accusation, now)
        if doubt := self._doubts.get(peer):
            # Ours counts, however many witnesses there are: we judge by it.
            doubt.confirm(accusation, self.size, self._settings)
        return effects

    def answered(self, peer: PeerId, now: float) -> None:
        """Withdraw our own doubt, if any: it has answered us."""
        if doubt := self._doubts.get(peer):
            doubt.withdraw(self.me.witness, now)

    def accused(self) -> PeerId | None:
        """Somebody we accuse. Asked again, it answers with its contradiction."""
        me = self.me.witness
        mine = [peer for peer, doubt in self._doubts.items() if me in doubt.doubters]
        return self._rng.choice(mine) if mine else None

    def judge(self, now: float) -> MembersEffects:
        """Speak the verdicts that are due."""
        due = [
            (peer, doubt) for peer, doubt in self._doubts.items() if doubt.due <= now
        ]
        return [
            effect for peer, doubt in due for effect in self._condemn(peer, doubt, now)
        ]

    def grant(self, seconds: float) -> None:
        """Give everybody we doubt more time: it was we who did not listen."""
        for doubt in self._doubts.values():
            doubt.began += seconds
            doubt.due += seconds

    def _doubt(self, news: News, now: float) -> MembersEffects:
        peer = news.profile.peer
        doubt = self._doubts[peer] = Suspicion(now)
        doubt.confirm(news, self.size, self._settings)
        others = news.witness != self.me.witness
        if others and self._rng.random() * self.size <= SECOND_OPINIONS:
            self.to_ask.append(peer)
        # The accused hears of it at once: it may be well.
        told: MembersEffects = [Cast(news.profile.address, Gossip((news,)))]
        return [*told, Emit(MemberSuspected(peer, news.witness, news.reason))]

    def _confirm(self, news: News, now: float) -> None:
        if doubt := self._doubts.get(news.profile.peer):
            doubt.confirm(news, self.size, self._settings)
            self.rumours.spread(news, now)

    def _condemn(self, peer: PeerId, doubt: Suspicion, now: float) -> MembersEffects:
        if self.me.witness not in doubt.doubters:
            # Hearsay is not enough for a verdict, since one verdict binds all.
            doubt.due = now + self._settings.verdict_s * self.health.slowness
            self.to_ask.append(peer)
            return []
        doubted = self.roster.present[peer]
        reason = Reason.REFUSED if doubt.refused else Reason.SILENT
        verdict = replace(
            doubted.news, state=State.DEAD, witness=self.me.witness, reason=reason
        )
        self.roster.merge(verdict, now)
        for witness in doubted.witnesses:
            self.roster.attest(replace(verdict, witness=witness))
        self.rumours.spread(verdict, now)
        # Should it live after all, it contradicts.
        told: MembersEffects = [Cast(verdict.profile.address, Gossip((verdict,)))]
        return [*self._turn(doubted.news, verdict, now), *told]
