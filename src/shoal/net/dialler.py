"""Opening connections to other peers."""

import asyncio
import secrets

from shoal.core import hello
from shoal.core.address import parse
from shoal.core.frames import FrameReader, framed
from shoal.core.handshake import JOIN, Handshake
from shoal.core.hello import (
    MAX_HELLO_BYTES,
    NONCE_BYTES,
    Decline,
    Hello,
    Invitation,
    Membership,
)
from shoal.core.machine import Address, PeerId
from shoal.errors import (
    Foreign,
    InvalidAddress,
    MalformedMessage,
    Stranger,
    Unreachable,
)
from shoal.net.link import Link, LinkOwner
from shoal.version import PROTOCOL

# Loopback and LAN answer in milliseconds; a second is what a lost SYN costs.
DIAL_S = 1.5

FOREIGN = "what listens there is not a peer of Shoal"


class Dialler:
    """Dials, and greets whoever answers."""

    def __init__(
        self, membership: Membership, address: Address, owner: LinkOwner
    ) -> None:
        self._membership = membership
        self.address = address
        self._owner = owner

    def handshake(self, purpose: str | None, *, inviting: bool = False) -> Handshake:
        """A greeting with a fresh nonce."""
        return Handshake(
            self._membership,
            self.address,
            secrets.token_bytes(NONCE_BYTES),
            purpose=purpose,
            inviting=inviting,
        )

    async def dial(self, address: Address, purpose: str) -> Link:
        """A greeted connection. Raises `ConnectionRefusedError` if nobody listens.

        `Unreachable` if nobody answers, `Stranger` if the wrong one does.
        """
        try:
            async with asyncio.timeout(DIAL_S):
                return await self._dial(address, purpose)
        except ConnectionRefusedError:
            raise
        except (OSError, TimeoutError, UnicodeError, InvalidAddress) as error:
            raise Unreachable(
                f"{address} does not answer ({error or 'no reply in time'}); "
                "is a peer listening there, and is the way open?"
            ) from error

    async def _dial(self, address: Address, purpose: str) -> Link:
        """Dial, and once more if the connection is reset before anybody answers.

        1. A process ends.  2. The kernel resets its links.  3. We dial, and wait in
        its queue.  4. The kernel closes the queue, and resets us.  5. Dialled again,
        we are refused, and know that nobody is there.
        """
        try:
            return await self._connect(address, purpose)
        except ConnectionResetError:
            return await self._connect(address, purpose)

    async def _connect(self, address: Address, purpose: str) -> Link:
        host, port = parse(address)
        link = Link(self._owner, self.handshake(purpose), purpose=purpose)
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: link, host, port)
            await link.greeted
        except (OSError, asyncio.CancelledError):
            if hasattr(link, "transport"):
                link.transport.abort()
            raise
        return link


async def ask_invitation(address: Address, identity_hello: Hello) -> Invitation:
    """Ask a network that is open to all for what a newcomer needs.

    `Unreachable` if nobody answers, `Foreign` if it is no peer, `Stranger` if it is
    one that will not.
    """
    host, port = parse(address)
    try:
        async with asyncio.timeout(DIAL_S * 2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(framed(hello.encode(identity_hello)))
                return await _read_invitation(reader, address)
            finally:
                writer.close()
    except MalformedMessage as error:
        raise Foreign(f"cannot join {address}: {FOREIGN}") from error
    except (OSError, TimeoutError, UnicodeError) as error:
        raise Unreachable(
            f"cannot join {address}: {_cause(error)}; check the address, and that a "
            "peer is up there"
        ) from error


async def _read_invitation(
    reader: asyncio.StreamReader, address: Address
) -> Invitation:
    frames, said = FrameReader(MAX_HELLO_BYTES), False
    while data := await reader.read(MAX_HELLO_BYTES):
        said = True
        for body in frames.feed(data):
            match hello.decode(body):
                case Invitation() as invitation:
                    return invitation
                case Decline(why):
                    raise Stranger(f"cannot join {address}: {why}")
    if said:
        raise Foreign(f"cannot join {address}: {FOREIGN}")
    # A peer that is just ending, or that is full, may do so too.
    raise Unreachable(f"cannot join {address}: it said nothing; try again")


def newcomer(address: Address, public: bytes, peer: PeerId) -> Hello:
    """The hello of somebody who is of no network yet."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return Hello(PROTOCOL, "", peer, address, public, nonce, JOIN)


def _cause(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, TimeoutError):
        return "no answer"
    return (getattr(error, "strerror", None) or str(error)).lower()
