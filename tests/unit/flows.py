"""Flow on several peers in one process: real workers and records, and plain calls.

One who is not among the peers keeps the records. The wires are calls that a test may
cut: whoever is cut off is not present, and is neither asked nor told.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Raw

from shoal.core.machine import PeerId
from shoal.errors import Unreachable
from shoal.flow.records import Records
from shoal.flow.service import FlowService
from shoal.net.asking import Handler
from shoal.net.files import Files
from shoal.net.stream import Stream
from shoal.net.streams import Serve
from shoal.table.records.service import RecordsService
from shoal.table.storage import Memory

Take = Callable[[PeerId, Raw], None]


class Silent:
    """Who keeps the records is alone, and tells nobody."""

    def post(self, to: PeerId, topic: str, body: bytes) -> None:
        raise AssertionError("to nobody")


class Wires:
    """One peer's."""

    def __init__(self, me: PeerId, peers: dict[PeerId, "Wires"]) -> None:
        self.me = me
        self.cut = False
        self.deaf = False  # It is present, and answers nobody.
        self.missed = 0
        self._peers = peers
        self._handlers: dict[str, Handler] = {}
        self._takers: dict[str, Take] = {}
        peers[me] = self

    def present(self) -> list[PeerId]:
        others = [name for name, each in self._peers.items() if not each.cut]
        return list(dict.fromkeys([self.me, *others]))

    def ask(
        self, to: PeerId, topic: str, body: bytes, *, within_s: float
    ) -> asyncio.Future[Raw]:
        return asyncio.ensure_future(self._asked(to, topic, body))

    async def _asked(self, to: PeerId, topic: str, body: bytes) -> Raw:
        other = self._peers[to]
        if self.cut or other.cut:
            raise Unreachable(f"{to} is cut off")
        if other.deaf:
            other.missed += 1
            raise Unreachable(f"the way to {to} broke")
        answer = other._handlers[topic](self.me, Raw(body))
        return Raw(answer if isinstance(answer, bytes) else await answer)

    def post(self, to: PeerId, topic: str, body: bytes) -> None:
        if not self.cut and not self._peers[to].cut:
            self._peers[to]._takers[topic](self.me, Raw(body))

    def serve(self, topic: str, handler: Handler) -> None:
        self._handlers[topic] = handler

    def handler(self, topic: str) -> Handler:
        """Whoever answers that."""
        return self._handlers[topic]

    def on_post(self, topic: str, take: Take) -> None:
        self._takers[topic] = take

    def serve_stream(self, topic: str, serve: Serve) -> None:
        """Nobody streams here."""

    async def open(self, to: PeerId, topic: str, head: bytes) -> Stream:
        raise Unreachable("no streams here")


class House:
    """Peers that share records."""

    def __init__(self, root: Path, records: Records, bugs: list[Exception]) -> None:
        self.root = root
        self.records = records
        self.wires: dict[PeerId, Wires] = {}
        self.peers: dict[PeerId, FlowService] = {}
        self._bugs = bugs

    async def enter(self, *names: str, workers: int = 1) -> list[FlowService]:
        made = [self._make(PeerId(name), workers) for name in names]
        for each in made:
            await each.start()
        return made

    def _make(self, name: PeerId, workers: int) -> FlowService:
        directory = self.root / name
        directory.mkdir(exist_ok=True)
        self.peers[name] = FlowService(
            *(name, directory, Files(directory)),
            records=self.records,
            network=Wires(name, self.wires),
            workers=workers,
            memory_bytes=None,
            fail=self._bugs.append,
            look_after_s=0.05,
        )
        return self.peers[name]

    async def stop(self, name: str) -> None:
        """It has died, and nobody has noticed."""
        await self.peers.pop(PeerId(name)).stop()

    def cut(self, name: str) -> None:
        """Nobody hears of it any more. Others are told by `mourn`."""
        self.wires[PeerId(name)].cut = True

    def mourn(self, name: str) -> None:
        for peer, flow in self.peers.items():
            if not self.wires[peer].cut:
                flow.lost(PeerId(name))

    def files(self, name: str) -> list[str]:
        """What a peer has made and not removed."""
        folders = [self.root / name / each for each in ("scratch", "results")]
        return [path.name for folder in folders for path in folder.iterdir()]


@asynccontextmanager
async def house(
    root: Path, around: Callable[[Records], Records] = lambda records: records
) -> AsyncIterator[House]:
    """Peers come in; what a peer must never meet fails the test."""
    bugs: list[Exception] = []
    keeper = RecordsService(
        PeerId("keeper"),
        Memory(),
        start=1,
        durability="none",
        wires=Silent(),
        fail=bugs.append,
    )
    keeper.start(founding=True)
    made = House(root, around(keeper), bugs)
    try:
        yield made
    finally:
        for each in made.peers.values():
            await each.stop()
        await keeper.stop()
    assert not bugs, bugs
