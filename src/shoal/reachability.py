"""Can others dial us? Neighbours are asked to try, and members are told the answer."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from msgspec.structs import replace

from shoal.core.handshake import CHECK
from shoal.core.machine import PeerId
from shoal.errors import ShoalError
from shoal.members.service import MembersService
from shoal.net.links import Links

log = logging.getLogger(__name__)

# How often to find out.
CHECK_DIALABLE_S = 60.0

TOPIC = "dial-back"


class Reachability:
    """Keeps what we say of ourselves true."""

    def __init__(
        self,
        links: Links,
        members: MembersService,
        neighbours: Callable[[], list[PeerId]],
    ) -> None:
        self._links = links
        self._members = members
        self._neighbours = neighbours
        links.serve(TOPIC, self._dial_back)

    def start(self, after_s: float) -> None:
        """Begin to ask."""
        self._task = asyncio.get_running_loop().create_task(self._keep_true(after_s))

    def stop(self) -> None:
        """Ask no more."""
        self._task.cancel()

    async def _keep_true(self, after_s: float) -> None:
        """Ask neighbours to dial us; if none can, say so, and they use our links."""
        await asyncio.sleep(after_s)
        while True:
            dialable = await self._is_dialable()
            if dialable is False:  # A busy neighbour may have been late: ask again.
                await asyncio.sleep(1)
                dialable = await self._is_dialable()
            profile = self._members.profile
            if dialable is not None and dialable != profile.dialable:
                log.warning("others can%s dial us", "" if dialable else "not")
                fresh = replace(profile, dialable=dialable)
                self._members.change(fresh)
            await asyncio.sleep(CHECK_DIALABLE_S)

    async def _is_dialable(self) -> bool | None:
        """Whether any neighbour can dial us; none if too few of them know."""
        asked = self._neighbours()
        answers = [await self._ask_dial_back(each) for each in asked]
        known = [answer for answer in answers if answer is not None]
        if any(known):
            return True
        enough = min(2, self._members.size - 1)
        return False if len(known) >= enough > 0 else None

    async def _ask_dial_back(self, peer: PeerId) -> bool | None:
        body = b"\xc0"  # Our address is in our record; the question says nothing more.
        try:
            answer = await self._links.ask(peer, TOPIC, body, within_s=5)
        except ShoalError:
            return None
        return {b"\xc3": True, b"\xc2": False}.get(bytes(answer))

    async def _dial_back(self, peer: PeerId, _: object) -> bytes:
        profile = self._members.profile_of(peer)
        if profile is None:
            return b"\xc0"
        with suppress(ShoalError, OSError):
            link = await self._links.dialler.dial(profile.address, CHECK)
            link.close("only to see whether you can be dialled")
            return b"\xc3"
        return b"\xc2"
