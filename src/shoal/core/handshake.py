"""The greeting of two peers as a conversation: greetings in, greetings out."""

from shoal.core.hello import (
    Decline,
    Greeting,
    Hello,
    Invitation,
    Membership,
    Proof,
)
from shoal.core.machine import Address
from shoal.errors import MalformedMessage, Stranger

# What a connection is for. A stream has one of its own, so that it delays nobody.
LINK = "link"
STREAM = "stream"
JOIN = "join"
CHECK = "check"


class Handshake:
    """One side of it. `them` is who the other is, once that is proved."""

    def __init__(
        self,
        membership: Membership,
        address: Address,
        nonce: bytes,
        *,
        purpose: str | None,
        inviting: bool = False,
    ) -> None:
        """`purpose` is ours to say when we dial; when we listen, theirs."""
        self._membership = membership
        self._address = address
        self._nonce = nonce
        self._purpose = purpose
        self._inviting = inviting
        self._mine: Hello | None = None
        self._theirs: Hello | None = None
        self._dialled = purpose is not None
        self.them: Hello | None = None

    def begin(self) -> list[Greeting]:
        """What to say first, if we dialled."""
        if self._purpose is None:
            return []
        self._mine = self._hello(self._purpose)
        return [self._mine]

    def receive(self, greeting: Greeting) -> list[Greeting]:
        """What to say next. `Stranger` or `MalformedMessage` end the conversation."""
        match greeting:
            case Hello() if self._theirs is None:
                return self._introduced(greeting)
            case Proof() if self._theirs and self._mine and not self.them:
                self._membership.check_proof(greeting, self._theirs, self._mine)
                self.them = self._theirs
                if self._dialled:
                    return [self._membership.prove(self._mine, self._theirs)]
                return []
            case Decline(why):
                raise Stranger(why)
        raise MalformedMessage(f"{type(greeting).__name__} out of turn")

    def _introduced(self, theirs: Hello) -> list[Greeting]:
        if theirs.purpose == JOIN and not theirs.network and not self._dialled:
            return [self._invitation()]
        self._membership.check_hello(theirs)
        self._theirs = theirs
        if self._dialled:
            return []
        self._mine = self._hello(theirs.purpose)
        return [self._mine, self._membership.prove(self._mine, theirs)]

    def _hello(self, purpose: str) -> Hello:
        return self._membership.hello(self._address, self._nonce, purpose)

    def _invitation(self) -> Invitation:
        if not self._inviting:
            raise Stranger(
                f"network {self._membership.network} is not open to newcomers without "
                "its token; copy the file 'token' from a peer's data directory and "
                "join with --token FILE"
            )
        return Invitation(self._membership.network, self._membership.secret)
