"""What members say to one another.

Limits are part of the types: a message that decodes is a message that can be kept
and passed on. The largest legal datagram is one frame; a test holds us to it.
"""

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, Struct

from shoal.core.machine import Address, PeerId
from shoal.core.wire import COUNT, PLACE, WORD

Count = Annotated[int, COUNT]
Name = Annotated[PeerId, WORD]
Place = Annotated[Address, PLACE]
Label = Annotated[str, Meta(max_length=24, pattern=r"^[!-~]*\Z")]


class Incarnation(Struct, frozen=True, order=True, array_like=True):
    """Which life of a peer a statement is about; the higher one is the truth.

    A restart begins a higher generation (kept on disk, so that a restarted peer need
    not first hear what was said of it); a living peer raises `refutation` to
    contradict whoever doubts it.
    """

    generation: Count
    refutation: Count = 0


class State(IntEnum):
    """What is believed of a peer, in the order in which equal lives override."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Reason(IntEnum):
    """Why it is believed."""

    ANSWERS = 0
    SILENT = 1
    REFUSED = 2
    STOPPED = 3
    LEFT = 4


class Profile(Struct, frozen=True, array_like=True):
    """What a peer says of itself."""

    peer: Name
    address: Place
    host: Label = ""
    zone: Label = ""
    dialable: bool = True
    since: Count = 0  # When this life began, in seconds since 1970.


class News(Struct, frozen=True, array_like=True):
    """One peer's statement about one life of a peer."""

    profile: Profile
    incarnation: Incarnation
    state: State
    witness: Name
    reason: Reason


# A datagram has room for so many bytes of news beside the rest of a message, that is
# for a dozen of everyday length and for three of the longest legal ones.
NEWS_BYTES = 1150
MAX_NEWS = 16
FewNews = Annotated[tuple[News, ...], Meta(max_length=MAX_NEWS)]

# Sixty-four records of everyday length are a 6 kB frame; more follow in another.
MAX_SYNC = 64
ManyNews = Annotated[tuple[News, ...], Meta(max_length=MAX_SYNC)]

# Thirty-two sums tell 1,000 peers apart in parcels of about thirty.
PARCELS = 32
Sum = Annotated[int, Meta(ge=0, lt=2**32)]
Sums = Annotated[tuple[Sum, ...], Meta(min_length=PARCELS, max_length=PARCELS)]
Parcel = Annotated[int, Meta(ge=0, lt=PARCELS)]
Parcels = Annotated[tuple[Parcel, ...], Meta(max_length=PARCELS)]


class Ping(Struct, frozen=True, array_like=True, tag=1):
    """Are you there? Only `target` may answer: somebody else may live there now."""

    nonce: Count
    target: Name
    news: FewNews = ()


class Ack(Struct, frozen=True, array_like=True, tag=2):
    """`answerer` is there, said by itself or by whom we asked to ask."""

    nonce: Count
    answerer: Name
    news: FewNews = ()


class PingRequest(Struct, frozen=True, array_like=True, tag=3):
    """I cannot hear `target`: can you?"""

    nonce: Count
    target: Name
    address: Place
    news: FewNews = ()


class Nack(Struct, frozen=True, array_like=True, tag=4):
    """I am well, and I cannot hear it either."""

    nonce: Count


class Gossip(Struct, frozen=True, array_like=True, tag=5):
    """News that cannot wait for the next probe."""

    news: FewNews


class Digest(Struct, frozen=True, array_like=True, tag=6):
    """Sums over the living I know, by parcel: do you know the same?"""

    me: News
    sums: Sums


class Sync(Struct, frozen=True, array_like=True, tag=7):
    """What I know of these parcels. `reply` asks for what I lack of them."""

    news: ManyNews
    parcels: Parcels
    reply: bool


MembersMessage = Ping | Ack | PingRequest | Nack | Gossip | Digest | Sync
