"""Asking members whether they are there, and answering who asks us.

A probe is direct first; then helpers are asked and the link is tried; then it has
failed. Only the asked one's answer counts, to the question it was asked.
"""

from collections.abc import Callable

from shoal.core.machine import Address, Cast, PeerId, Send
from shoal.members.beliefs import Beliefs, MembersEffects
from shoal.members.messages import (
    Ack,
    MembersMessage,
    Nack,
    Ping,
    PingRequest,
    Profile,
)
from shoal.members.probes import Errand, Probe, Probes
from shoal.members.settings import MembersSettings

# memberlist's: three helpers make a false suspicion at 10 % loss a matter of 4 %.
HELPERS = 3


class Prober:
    """One peer's questions and answers."""

    def __init__(
        self, beliefs: Beliefs, probes: Probes, settings: MembersSettings
    ) -> None:
        self._beliefs = beliefs
        self._health = beliefs.health
        self._probes = probes
        self._settings = settings
        # Whose datagrams seem not to reach us, or ours not them: links carry all too.
        self._deaf: dict[PeerId, None] = {}

    @property
    def due(self) -> float:
        """When something must be done about a probe."""
        return self._probes.due

    # Our questions

    def ask_next(self, now: float) -> MembersEffects:
        """Probe whose turn it is, or somebody we accuse."""
        accused = self._beliefs.accused()
        present = self._beliefs.roster.present
        target = self._probes.next_target(present, accused)
        return self.ask(target, now) if target else []

    def ask(
        self, target: PeerId, now: float, *, by_link: bool = False
    ) -> MembersEffects:
        """Probe one member; at once by link too if datagrams are known to fail."""
        member = self._beliefs.roster.present.get(target)
        if member is None or self._probes.probing(target):
            return []
        slowness = self._health.slowness
        patience = self._settings.patience_s * slowness
        verdict = self._settings.verdict_s * slowness
        probe = self._probes.open(target, now, patience, verdict)
        ping = Ping(probe.nonce, target, self._beliefs.tell(target))
        effects: MembersEffects = [Cast(member.news.profile.address, ping)]
        if by_link or target in self._deaf:
            probe.linked = True
            effects.append(Send(target, Ping(probe.nonce, target)))
        return effects

    def judge(
        self, now: float, fail: Callable[[PeerId], MembersEffects]
    ) -> MembersEffects:
        """Ask for help, or give up, wherever the time has come."""
        effects: MembersEffects = []
        for probe in self._probes.take_due(now):
            if probe.helped:
                self._note_failure(probe)
                effects += fail(probe.target)
            else:
                effects += self._help(probe)
        for errand in self._probes.take_vain(now):
            effects.append(self._reply(errand.source, errand.asker, Nack(errand.asked)))
        return effects

    def _help(self, probe: Probe) -> MembersEffects:
        probe.helped = True
        target = self._beliefs.roster.present.get(probe.target)
        if target is None:
            return []
        some = [each.news.profile for each in self._beliefs.some(HELPERS + 1)]
        helpers = [each for each in some if each.peer != probe.target][:HELPERS]
        probe.helpers = tuple(each.peer for each in helpers)
        address = target.news.profile.address
        effects: MembersEffects = []
        if not probe.linked:
            effects.append(Send(probe.target, Ping(probe.nonce, probe.target)))
        for each in helpers:
            news = self._beliefs.tell(each.peer)
            request = PingRequest(probe.nonce, probe.target, address, news)
            effects += self.to(each, request)
        return effects

    def _note_failure(self, probe: Probe) -> None:
        # Helpers that say they are well show that we hear well; missing ones, the
        # contrary. Alone with the silent one, we cannot tell.
        missing = len(probe.helpers) - len(probe.nacked) if probe.helpers else 1
        self._health.worsen(missing)

    # Their answers

    def acked(
        self, source: Address | None, sender: PeerId, ack: Ack, now: float
    ) -> MembersEffects:
        """Close our probe, or pass the answer on to who asked us to ask."""
        if source is not None and sender == ack.answerer:
            self._deaf.pop(sender, None)
        probe = self._probes.ours.get(ack.nonce)
        if probe and probe.target == ack.answerer:
            if sender == ack.answerer or sender in probe.helpers:
                del self._probes.ours[ack.nonce]
                self._health.improve()
                if source is None and sender == probe.target and probe.helped:
                    self._deaf[sender] = None  # Its datagram would have come by now.
                self._beliefs.answered(ack.answerer, now)
            return []
        errand = self._probes.errands.get(ack.nonce)
        if errand and errand.target == ack.answerer == sender:
            del self._probes.errands[ack.nonce]
            told = Ack(errand.asked, ack.answerer, self._beliefs.tell(errand.asker))
            return [self._reply(errand.source, errand.asker, told)]
        return []

    def nacked(self, sender: PeerId, nonce: int) -> None:
        """A helper is well, though its errand was in vain."""
        probe = self._probes.ours.get(nonce)
        if probe and sender in probe.helpers:
            probe.nacked[sender] = None  # Once, however often the network repeats it.

    # Their questions

    def answer(
        self, source: Address | None, sender: PeerId, ping: Ping
    ) -> MembersEffects:
        """Say that we are here, if it is we who are meant."""
        me = self._beliefs.me.profile.peer
        if ping.target != me:
            return []  # Meant for who lived at this address before us.
        ack = Ack(ping.nonce, me, self._beliefs.tell(sender))
        return [self._reply(source, sender, ack)]

    def run_errand(
        self,
        source: Address | None,
        sender: PeerId,
        request: PingRequest,
        now: float,
    ) -> MembersEffects:
        """Ask for somebody who cannot hear the one it asks about."""
        target = request.target
        known = self._beliefs.roster.present.get(target)
        address = known.news.profile.address if known else request.address
        nack_at = now + self._settings.patience_s
        errand = Errand(target, sender, source, request.nonce, nack_at)
        nonce = self._probes.errand(errand)
        if nonce is None:
            return []
        ping = Ping(nonce, target, self._beliefs.tell(target))
        return self._ways(target, address, ping)

    # Both

    def to(self, profile: Profile, message: MembersMessage) -> MembersEffects:
        """By datagram; by link too if datagrams to that peer have failed."""
        return self._ways(profile.peer, profile.address, message)

    def _ways(
        self, peer: PeerId, address: Address, message: MembersMessage
    ) -> MembersEffects:
        # Not by link alone: where packets are lost, what waits for one sent again
        # holds up all behind it.
        if peer in self._deaf:
            return [Cast(address, message), Send(peer, message)]
        return [Cast(address, message)]

    def greet(self, peer: PeerId) -> None:
        """Probe a newcomer in this round already, not only in the next."""
        self._probes.insert(peer)

    def forget(self, peer: PeerId) -> None:
        """It is gone; what we knew of the way to it may be wrong by its return."""
        self._deaf.pop(peer, None)

    def grant(self, seconds: float) -> None:
        """We did not listen for so long: silence in that time proves nothing."""
        self._probes.postpone(seconds)

    @staticmethod
    def _reply(
        source: Address | None, sender: PeerId, message: MembersMessage
    ) -> Send[MembersMessage] | Cast[MembersMessage]:
        return Cast(source, message) if source else Send(sender, message)
