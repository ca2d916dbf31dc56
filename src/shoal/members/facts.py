"""What becomes true of members, for the other capabilities to act upon."""

from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.members.messages import Incarnation, Profile, Reason


class MemberFound(Struct, frozen=True):
    """Unknown, lost or gone before, and now present; or restarted, or moved."""

    profile: Profile
    incarnation: Incarnation


class MemberSuspected(Struct, frozen=True):
    """Somebody cannot hear it. It may yet answer."""

    peer: PeerId
    witness: PeerId
    reason: Reason


class MemberCleared(Struct, frozen=True):
    """It was suspected, and has answered."""

    peer: PeerId


class MemberLost(Struct, frozen=True):
    """It is dead, as far as anybody can tell."""

    peer: PeerId
    witnesses: tuple[PeerId, ...]
    reason: Reason


class MemberLeft(Struct, frozen=True):
    """It said goodbye."""

    peer: PeerId
    reason: Reason


MembersFact = MemberFound | MemberSuspected | MemberCleared | MemberLost | MemberLeft
