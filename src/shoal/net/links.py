"""The links of a peer: who is connected, by whom, and what goes over them.

A link is opened on first use and serves both ways, whoever dialled. Where nobody can
dial a peer, the links it dialled itself serve; where two such peers must talk, a
neighbour of both passes messages on.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from msgspec import Raw

from shoal.core import links
from shoal.core.handshake import LINK
from shoal.core.hello import Membership
from shoal.core.links import Goodbye, LinkMessage, NoWay, Post, Relayed
from shoal.core.machine import Address, PeerId
from shoal.errors import Misbehaviour, Misuse, ShoalError, Stranger, Unreachable
from shoal.net.asking import MAX_BODY_BYTES, Asking, Handler
from shoal.net.dialler import DIAL_S, Dialler
from shoal.net.link import Link
from shoal.net.ways import Atlas, Relay, Way

log = logging.getLogger(__name__)

# A post to a peer that is being dialled waits, but not many do.
MAX_POSTPONED = 256

# After a dial in vain nobody is dialled again for so long, twice as long each time.
FIRST_REST_S = 0.1
LONGEST_REST_S = 2.0

# A link that lost against its twin is closed when its last answers have come.
TWIN_S = 10.0
MAX_TWINS = 4

# Whose links live shorter than this, twice in a row, is left to rest.
SHORT_S = 2.0

# Peers reached over others, and keys remembered: ten times what we are made for.
MAX_RELAYS = 1024
MAX_KEYS = 10_000


class Links:
    """Everybody we are connected with."""

    def __init__(
        self,
        membership: Membership,
        address: Address,
        atlas: Atlas,
        *,
        refused: Callable[[PeerId], None],
        fail: Callable[[Exception], None],
        inviting: bool = False,
    ) -> None:
        self.me = membership.identity.peer
        self.dialler = Dialler(membership, address, self)
        self.fail = fail
        self._atlas = atlas
        self._refused = refused
        self.streamed: Callable[[Link, bytes], bool] = lambda *_: False
        self._inviting = inviting
        self._links: dict[PeerId, list[Link]] = {}
        self._relays: dict[PeerId, Relay] = {}
        self._opening: dict[PeerId, asyncio.Task[None]] = {}
        self._postponed: dict[PeerId, list[LinkMessage]] = {}
        self._rests: dict[PeerId, tuple[float, float]] = {}
        self._keys: dict[PeerId, bytes] = {}
        self._held: list[PeerId] = []
        self._posts: dict[str, Callable[[PeerId, Raw], None]] = {}
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self.asking = Asking(self.write, self.reach, fail)
        self.ask = self.asking.ask  # On the hot path, one call less.

    # For services

    def on_post(self, topic: str, take: Callable[[PeerId, Raw], None]) -> None:
        """Say who takes messages of a topic that need no answer."""
        self._posts[topic] = take

    def serve(self, topic: str, handler: Handler) -> None:
        """Say who answers requests of a topic."""
        self.asking.serve(topic, handler)

    def post(self, to: PeerId, topic: str, body: bytes) -> None:
        """Send what needs no answer: attempted once, never promised."""
        if len(body) > MAX_BODY_BYTES:
            raise Misuse(f"a message of {len(body)} bytes: too long; open a stream")
        self.write(to, Post(topic, Raw(body)))

    async def meet(self, address: Address) -> PeerId | None:
        """Dial whoever listens there; who it is, if it is one of us."""
        try:
            return (await self.dialler.dial(address, LINK)).peer
        except (OSError, Unreachable):
            return None
        except (Stranger, Misbehaviour) as error:
            log.warning("no link to %s: %s", address, error)
            return None

    async def dial(self, peer: PeerId, purpose: str) -> Link | None:
        """A connection of its own to a peer; none if it cannot be dialled."""
        address = self._atlas.locate(peer)
        if address is None:
            return None
        try:
            link = await self.dialler.dial(address, purpose)
        except (OSError, Unreachable):
            return None
        if link.peer == peer:
            return link
        link.close(f"I was looking for {peer}")
        return None

    def hold(self, peers: Iterable[PeerId]) -> None:
        """Keep links to these, used or not, so that a reset is seen at once."""
        self._held = list(peers)
        for peer in self._held:
            self._hold_again(peer)

    def connected(self) -> dict[PeerId, list[Link]]:
        """Every link there is, the ones in use first."""
        return self._links

    async def close(self, why: str) -> None:
        """Say goodbye to everybody."""
        self._closing = True
        for task in self._opening.values():
            task.cancel()
        for each in [link for twins in self._links.values() for link in twins]:
            each.close(why)
        self.asking.stop()

    # Ways

    def write(self, to: PeerId, message: LinkMessage) -> None:
        """Send a message by whatever way there is, or open one first."""
        twins = self._links.get(to)
        if twins:
            link = twins[0]
            if isinstance(message, Post) and link.brimful:
                return  # A post may be lost, and a slow peer must cost no memory.
            link.write(message)
        elif relay := self._relays.get(to):
            relay.write(message)
        else:
            postponed = self._postponed.setdefault(to, [])
            if len(postponed) < MAX_POSTPONED or not isinstance(message, Post):
                postponed.append(message)
            self.open(to)

    def reach(self, peer: PeerId) -> None:
        """See to it that there is a way to a peer, if there can be one."""
        if peer not in self._links and peer not in self._relays:
            self.open(peer)

    def open(self, peer: PeerId) -> None:
        """Begin to look for a way to a peer, unless we just did in vain."""
        until, _ = self._rests.get(peer, (0.0, 0.0))
        if self._closing or peer in self._opening or peer == self.me:
            return
        if self._loop.time() < until:
            self._give_up(peer)
            return
        task = self._loop.create_task(self._open(peer))
        self._opening[peer] = task
        task.add_done_callback(partial(self._opened, peer))

    async def _open(self, peer: PeerId) -> None:
        address = self._atlas.locate(peer)
        if address:
            try:
                link = await self.dialler.dial(address, LINK)
                if link.peer == peer:
                    return
                link.close(f"I was looking for {peer}")
                self._refused(peer)
            except ConnectionRefusedError:
                self._refused(peer)
            except Stranger as error:
                log.warning("no link to %s: %s", peer, error)
                self._refused(peer)
            except (ShoalError, OSError) as error:
                log.debug("no link to %s: %s", peer, error)
        found = peer in self._links or await self._find_relay(peer)
        if not found and peer not in self._links:  # It may have dialled us meanwhile.
            raise Unreachable(f"no way to {peer}")

    async def _find_relay(self, peer: PeerId) -> bool:
        for candidate in self._atlas.relays(peer):
            if candidate == self.me:
                continue
            twins = self._links.get(candidate)
            if not twins and (address := self._atlas.locate(candidate)):
                try:
                    await self.dialler.dial(address, LINK)
                except (ShoalError, OSError):
                    continue
            if twins := self._links.get(candidate):
                self._use_relay(peer, twins[0])
                return True
        return False

    def _use_relay(self, peer: PeerId, over: Link) -> Relay:
        relay = self._relays.get(peer)
        if relay is None or relay.over is not over:
            relay = self._relays[peer] = Relay(self.me, peer, over)
            self.asking.opened(peer)
        return relay

    def _opened(self, peer: PeerId, task: asyncio.Task[None]) -> None:
        del self._opening[peer]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            if peer in self._held and peer not in self._links:
                self._rest(peer)  # A relay serves until it can be dialled again.
            if not self._postponed.get(peer):
                return
            for message in self._postponed.pop(peer):
                self.write(peer, message)
        elif isinstance(error, Unreachable):
            self._rest(peer)
            self._give_up(peer)
        else:
            self.fail(error if isinstance(error, Exception) else Exception(str(error)))

    def _rest(self, peer: PeerId) -> None:
        _, last = self._rests.get(peer, (0.0, FIRST_REST_S / 2))
        rest = min(last * 2, LONGEST_REST_S)
        self._rests[peer] = (self._loop.time() + rest, rest)
        if peer in self._held:
            self._loop.call_later(rest, self._hold_again, peer)

    def _hold_again(self, peer: PeerId) -> None:
        if peer not in self._held or peer in self._links:
            return
        until, _ = self._rests.get(peer, (0.0, 0.0))
        rest = until - self._loop.time()
        if rest > 0:
            self._loop.call_later(rest, self._hold_again, peer)
        else:
            self.open(peer)

    def _give_up(self, peer: PeerId) -> None:
        """There is no way to a peer, unless it has opened one itself meanwhile."""
        self._relays.pop(peer, None)
        if peer not in self._links:
            self._postponed.pop(peer, None)
            self.asking.lost(peer)

    def expect(self, peer: PeerId) -> None:
        """It is there, for the first time or again: what failed before says nothing."""
        self._rests.pop(peer, None)
        self._relays.pop(peer, None)

    def forget(self, peer: PeerId) -> None:
        """It is gone: stop looking for it, and hold on to nothing of it."""
        for link in list(self._links.get(peer, ())):
            link.said_goodbye = True  # We know already: no need to dial again.
            link.transport.abort()
        self._rests.pop(peer, None)
        self._relays.pop(peer, None)
        self._postponed.pop(peer, None)

    # LinkOwner

    def accept(self, settled: Callable[[], None]) -> asyncio.Protocol:
        """A connection that somebody else opened."""
        handshake = self.dialler.handshake(None, inviting=self._inviting)
        return Link(self, handshake, settled=settled)

    def trusted(self, link: Link, rest: bytes) -> None:
        """The other end is who it says: what does it want?"""
        assert link.them, "trusted without a hello"
        if len(self._keys) >= MAX_KEYS:
            del self._keys[next(iter(self._keys))]
        known = self._keys.setdefault(link.peer, link.them.public)
        if known != link.them.public:
            raise Stranger(f"{link.peer} had another key when we met first")
        match link.purpose:
            case "link" if not self._closing:
                self._add(link)
                link.data_received(rest)
            case _ if link.dialled or self.streamed(link, rest):
                pass  # Whoever dialled, or whose stream it is, knows what to do.
            case _:
                link.close("nothing to do")

    def _add(self, link: Link) -> None:
        twins = self._links.setdefault(link.peer, [])
        twins.insert(0, link)
        if len(twins) > 1:
            self._prefer(twins)
        self._relays.pop(link.peer, None)
        self.asking.opened(link.peer)
        for message in self._postponed.pop(link.peer, []):
            self.write(link.peer, message)

    def _prefer(self, twins: list[Link]) -> None:
        """Of two links dialled at the same time, both ends keep the same one.

        1. a dials b.  2. b dials a.  3. Both are greeted.  4. Each side prefers what
        the smaller name dialled. Of two dialled by one side, the newer: that side
        would not have dialled again if the older one were alive.
        """
        newest, older = twins[0], twins[1]
        at_once = newest.born - older.born < DIAL_S
        ours = self.me < newest.peer
        if at_once and newest.dialled != older.dialled and newest.dialled != ours:
            twins[0], twins[1] = older, newest
        self._loop.call_later(TWIN_S, self._retire, twins[1])
        for crowd in twins[MAX_TWINS:]:
            crowd.close("too many links")

    def _retire(self, link: Link) -> None:
        """Close the lesser of two twins, unless the other has died meanwhile."""
        twins = self._links.get(link.peer, [])
        if link in twins and twins[0] is not link:
            link.close("another link serves us")

    def received(self, link: Link, messages: list[LinkMessage]) -> None:
        """Messages came over a link: act upon them, or pass them on."""
        self._take_all(link.peer, link, messages)

    def _take_all(self, sender: PeerId, way: Way, messages: list[LinkMessage]) -> None:
        take, now = self.asking.take, self._loop.time()
        for message in messages:
            if not take(sender, way, message, now):
                self._take(sender, way, message)
        self.asking.settle()

    def _take(self, sender: PeerId, way: Way, message: LinkMessage) -> None:
        match message:
            case Post(topic, body):
                if take := self._posts.get(topic):
                    take(sender, body)
            case Relayed() if isinstance(way, Link):
                self._relay(sender, way, message)
            case NoWay(to):
                relay = self._relays.get(to)
                if relay and relay.over is way:
                    self._give_up(to)
            case Goodbye() if isinstance(way, Link):
                way.said_goodbye = True

    def _relay(self, sender: PeerId, over: Link, message: Relayed) -> None:
        if message.to == self.me:
            self._take_relayed(over, message)
        elif message.origin != sender:
            raise Stranger(f"{sender} speaks for {message.origin}")
        elif twins := self._links.get(message.to):
            if not twins[0].brimful:
                twins[0].write(message)
        else:
            over.write(NoWay(message.to))

    def _take_relayed(self, over: Link, message: Relayed) -> None:
        origin = message.origin
        if origin == self.me or not self._atlas.knows(origin):
            return
        if origin in self._links or len(self._relays) >= MAX_RELAYS:
            way = Relay(self.me, origin, over)
        else:
            way = self._use_relay(origin, over)
        try:
            self._take_all(origin, way, links.decode(message.body))
        except Misbehaviour as error:  # Not the neighbour's, who only passed it on.
            log.warning("dropped what %s sent over %s: %s", origin, over.peer, error)

    def closed(self, link: Link) -> None:
        """A connection is over. If it was our last, was it the peer's end too?"""
        if link.them is None or link not in self._links.get(link.peer, ()):
            return
        peer = link.peer
        twins = self._links[peer]
        twins.remove(link)
        for to, relay in list(self._relays.items()):
            if relay.over is link:
                self._give_up(to)
        if twins:
            return
        del self._links[peer]
        self.asking.lost(peer)
        if self._loop.time() - link.born > SHORT_S:
            self._rests.pop(peer, None)
        if peer in self._rests:
            self._rest(peer)  # Whoever hangs up again and again is not dialled so.
        elif link.refusal is None and (not link.said_goodbye or peer in self._held):
            self._rests[peer] = (0.0, FIRST_REST_S / 2)
            self.open(peer)
