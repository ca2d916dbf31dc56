"""A peer is never healthier than well, whatever the network repeats."""

from random import Random

from shoal.core.machine import Address, PeerId
from shoal.members.beliefs import Beliefs
from shoal.members.health import WORST, Health
from shoal.members.messages import Incarnation, News, Profile, Reason, State
from shoal.members.prober import Prober
from shoal.members.probes import Probes
from shoal.members.settings import MembersSettings


def test_health_has_a_floor_and_a_ceiling() -> None:
    health = Health()
    health.improve()
    health.worsen(-3)
    assert health.slowness == 1
    health.worsen(100)
    assert health.slowness == 1 + WORST


def test_a_helper_counts_once_however_often_it_answers() -> None:
    settings = MembersSettings()
    names = [PeerId(name) for name in "abcde"]
    me, rng = Profile(names[0], Address("a:1")), Random(1)
    beliefs = Beliefs(me, settings, generation=1, rng=rng, now=0)
    for name in names[1:]:
        profile = Profile(name, Address(f"{name}:1"))
        news = News(profile, Incarnation(1), State.ALIVE, name, Reason.ANSWERS)
        beliefs.believe(news, 0)
    probes = Probes(rng)
    prober = Prober(beliefs, probes, settings)
    prober.ask(names[1], 0)
    [nonce] = probes.ours
    prober.judge(0.2, lambda peer: [])
    [helper, *_] = probes.ours[nonce].helpers
    for _ in range(9):
        prober.nacked(helper, nonce)
    prober.judge(9, lambda peer: [])
    assert beliefs.health.score == 2  # Two of three helpers said nothing.
