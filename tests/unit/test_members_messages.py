"""Hostile bytes and the largest legal datagrams."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.machine import Address, PeerId
from shoal.core.wire import MAX_DATAGRAM_BYTES, Codec, Envelope
from shoal.errors import MalformedMessage
from shoal.members.messages import (
    PARCELS,
    Digest,
    Gossip,
    Incarnation,
    MembersMessage,
    News,
    Ping,
    PingRequest,
    Profile,
    Reason,
    State,
)
from shoal.members.rumours import Rumours, encoded_bytes

CODEC: Codec[MembersMessage] = Codec(Envelope[MembersMessage], b"secret")

LONGEST_NAME = "x" * 48
LONGEST = News(
    Profile(
        PeerId(LONGEST_NAME),
        Address("y" * 58 + ":65535"),
        "h" * 24,
        "z" * 24,
        since=2**62 - 1,
    ),
    Incarnation(2**62 - 1, 2**62 - 1),
    State.SUSPECT,
    PeerId(LONGEST_NAME),
    Reason.REFUSED,
)

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
news = st.builds(
    News,
    st.builds(
        Profile,
        words.map(lambda text: PeerId(text[:48])),
        st.from_regex(r"[a-z0-9.-]{1,58}:[1-9][0-9]{0,3}", fullmatch=True).map(Address),
        words.map(lambda text: text[:24]),
        since=st.integers(0, 2**62 - 1),
    ),
    st.builds(Incarnation, st.integers(0, 2**62 - 1), st.integers(0, 2**62 - 1)),
    st.sampled_from(State),
    words.map(lambda text: PeerId(text[:48])),
    st.sampled_from(Reason),
)


@given(st.binary(max_size=300))
def test_junk_is_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        CODEC.decode(data)


@given(st.binary(max_size=300))
def test_junk_that_is_sealed_is_decoded_or_refused(data: bytes) -> None:
    with suppress(MalformedMessage):
        CODEC.decode(CODEC._seal(data) + data)


@given(st.lists(news, max_size=30))
def test_what_is_picked_fits_any_message_and_comes_back(all_news: list[News]) -> None:
    rumours = Rumours()
    for each in all_news:
        rumours.spread(each, 0.0)
    picked = rumours.pick(1000)
    assert picked or not all_news
    name = PeerId(LONGEST_NAME)
    for message in (
        Gossip(picked),
        PingRequest(2**62 - 1, name, Address("y" * 58 + ":65535"), picked),
    ):
        data = CODEC.encode_datagram(name, message)
        assert CODEC.decode(data) == (name, message)


@given(news)
def test_the_estimate_of_a_length_is_never_too_small(each: News) -> None:
    alone = len(CODEC.encode(PeerId("a"), Gossip((each,))))
    none = len(CODEC.encode(PeerId("a"), Gossip(())))
    assert alone - none <= encoded_bytes(each)


def test_the_largest_digest_fits_one_datagram() -> None:
    digest = Digest(LONGEST, (2**32 - 1,) * PARCELS)
    data = CODEC.encode_datagram(PeerId(LONGEST_NAME), digest)
    assert len(data) <= MAX_DATAGRAM_BYTES
    assert CODEC.decode(data)[1] == digest


@pytest.mark.parametrize(
    "place",
    ["a:99999", "a:65536", "a:-1", "a", ":1", "a:b:1", "[::1:1", "a b:1", "é:1"],
)
def test_a_place_that_cannot_be_dialled_is_refused_when_decoded(place: str) -> None:
    request = PingRequest(1, PeerId("b"), Address(place))
    data = CODEC.encode(PeerId("a"), request)
    with pytest.raises(MalformedMessage):
        CODEC.decode(data)


@pytest.mark.parametrize("place", ["a:0", "a:65535", "[::1]:7600", "10.0.0.1:1"])
def test_a_place_that_can_be_is_taken(place: str) -> None:
    request = PingRequest(1, PeerId("b"), Address(place))
    assert CODEC.decode(CODEC.encode(PeerId("a"), request))[1] == request


@pytest.mark.parametrize("name", ["x" * 49, "", "a b", "a\n", "naïve"])
def test_a_name_that_is_not_one_is_refused_when_decoded(name: str) -> None:
    data = CODEC.encode(PeerId("a"), Ping(1, PeerId(name)))
    with pytest.raises(MalformedMessage):
        CODEC.decode(data)


def test_another_secret_and_every_flipped_bit_are_refused() -> None:
    data = CODEC.encode(PeerId("a"), Ping(1, PeerId("b")))
    other: Codec[MembersMessage] = Codec(Envelope[MembersMessage], b"other")
    with pytest.raises(MalformedMessage):
        other.decode(data)
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(MalformedMessage):
            CODEC.decode(bytes(flipped))
