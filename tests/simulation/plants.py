"""Ten faults to plant in members, each of which the tests must find."""

from collections.abc import Callable
from typing import Any

import pytest

from shoal.core.machine import PeerId
from shoal.core.wire import Codec
from shoal.members.beliefs import Beliefs, MembersEffects
from shoal.members.messages import Ack, News
from shoal.members.prober import Prober
from shoal.members.probes import Probes
from shoal.members.protocol import Members
from shoal.members.roster import Roster
from shoal.members.rumours import Rumours
from shoal.members.suspicion import Suspicion
from tests.simulation import properties as hold
from tests.simulation.properties import Property

Plant = Callable[[pytest.MonkeyPatch], None]


def no_refutation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Beliefs, "_refute", lambda *_: None)


def incarnation_not_raised_at_restart(patch: pytest.MonkeyPatch) -> None:
    honest = Members.__init__

    def begin(self: Members, *args: Any, **named: Any) -> None:
        honest(self, *args, **{**named, "generation": 1})

    patch.setattr(Members, "__init__", begin)


def suspicion_never_ends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Suspicion, "confirm", lambda *_: None)


def the_first_suspicion_kills(patch: pytest.MonkeyPatch) -> None:
    honest = Suspicion.confirm

    def hasty(self: Suspicion, *args: Any) -> None:
        honest(self, *args)
        self.due = self.began

    patch.setattr(Suspicion, "confirm", hasty)


def news_dropped_after_one_send(patch: pytest.MonkeyPatch) -> None:
    honest = Rumours.pick

    def once(self: Rumours, members: int, first: News | None = None) -> Any:
        picked = honest(self, members, first)
        for news in picked:
            for key in [key for key in self._news if key[0] == news.profile.peer]:
                self._drop(key)
        return picked

    patch.setattr(Rumours, "pick", once)


def the_dead_remembered_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Roster, "forget", lambda *_: None)


def a_late_answer_credited_to_the_next_probe(patch: pytest.MonkeyPatch) -> None:
    honest = Prober.acked

    def generous(
        self: Prober, source: Any, sender: PeerId, ack: Ack, now: float
    ) -> Any:
        for nonce, probe in self._probes.ours.items():
            if probe.target == ack.answerer:
                return honest(self, source, sender, Ack(nonce, ack.answerer), now)
        return honest(self, source, sender, ack, now)

    patch.setattr(Prober, "acked", generous)


def network_identity_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Codec, "_seal", lambda *_: b"8 bytes.")


def probe_order_not_shuffled(patch: pytest.MonkeyPatch) -> None:
    def in_order(self: Probes, targets: list[PeerId]) -> list[PeerId]:
        return sorted(targets)

    patch.setattr(Probes, "_order", in_order)
    patch.setattr(Probes, "insert", lambda *_: None)


def sender_trusted(patch: pytest.MonkeyPatch) -> None:
    honest = Prober.acked

    def trusting(
        self: Prober, source: Any, sender: PeerId, ack: Ack, now: float
    ) -> MembersEffects:
        return honest(self, source, ack.answerer, ack, now)

    patch.setattr(Prober, "acked", trusting)


# Each fault with the properties that must find it, likeliest first.
PLANTS: list[tuple[Plant, list[Property]]] = [
    (no_refutation, [hold.a_pause_is_survived, hold.a_healed_partition_rejoins]),
    (incarnation_not_raised_at_restart, [hold.a_restart_is_welcomed]),
    (suspicion_never_ends, [hold.a_death_is_known_within_its_time]),
    (the_first_suspicion_kills, [hold.ten_percent_loss_accuses_nobody]),
    (news_dropped_after_one_send, [hold.news_reaches_all_soon]),
    (the_dead_remembered_for_ever, [hold.the_dead_are_forgotten]),
    (a_late_answer_credited_to_the_next_probe, [hold.a_late_answer_saves_nobody]),
    (network_identity_unchecked, [hold.two_networks_do_not_meet]),
    (probe_order_not_shuffled, [hold.a_silent_death_among_fifty_is_known_in_time]),
    (sender_trusted, [hold.an_impostor_answers_for_nobody]),
]
