"""Records over real peers: their links, their members, their disks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from shoal.errors import Conflict, Exists, Misuse, Unknown
from shoal.flow.records import Record, Records
from shoal.net.home import Home, enter
from shoal.peer import Peer
from shoal.settings import PeerSettings

SECRET = bytes(16)
WITHIN_S = 20.0


class Town:
    """Peers in this process, each on a directory of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.peers: dict[int, Peer] = {}
        self._stacks: dict[int, AsyncExitStack] = {}

    async def up(self, number: int) -> Peer:
        directory = self.root / str(number)
        first = next(iter(self.peers.values()), None)
        settings = PeerSettings(
            directory=directory,
            port=0,
            join=(first.address,) if first else (),
        )
        stack = AsyncExitStack()
        home = Home(directory)
        stack.callback(home.close)
        membership = enter(home, f"p{number}", SECRET)
        opened = Peer.open(settings, home, membership)
        self.peers[number] = await stack.enter_async_context(opened)
        self._stacks[number] = stack
        return self.peers[number]

    async def down(self, number: int) -> None:
        del self.peers[number]
        await self._stacks.pop(number).aclose()

    def owner(self, id_: str) -> int | None:
        """Who decides about that one, if all agree."""
        names = {peer.name: n for n, peer in self.peers.items()}
        said = {peer.records.owner("job", id_) for peer in self.peers.values()}
        [name] = said if len(said) == 1 else [None]
        return names.get(name) if name else None

    def agreed(self) -> bool:
        """Has everybody found everybody, and do all keep copies?"""
        sizes = {peer.members_service.size for peer in self.peers.values()}
        level = all(peer.records.level for peer in self.peers.values())
        copies = {peer.records.copies_on for peer in self.peers.values()}
        return sizes == copies == {len(self.peers)} and level


@asynccontextmanager
async def town(root: Path, size: int) -> AsyncIterator[Town]:
    built = Town(root)
    try:
        for number in range(size):
            await built.up(number)
        await until(built.agreed)
        yield built
    finally:
        for number in list(built.peers):
            await built.down(number)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():  # noqa: ASYNC110 - nothing would set an event.
            await asyncio.sleep(0.02)


def all_have(built: Town, wanted: dict[str, int]) -> bool:
    return all(
        {each.id: each.version for each in peer.records.list("job")} == wanted
        for peer in built.peers.values()
    )


def run(main: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main

    asyncio.run(bounded())


def test_every_peer_lists_what_any_peer_made(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(tmp_path, 5) as built:
            heard: list[Record] = []
            built.peers[4].records.watch("job", heard.append)
            made = await asyncio.gather(
                *(
                    built.peers[n % 5].records.create("job", f"j{n}", b"%d" % n)
                    for n in range(200)
                )
            )
            wanted = {f"j{n}": version for n, version in enumerate(made)}
            await until(lambda: all_have(built, wanted))
            assert {each.id for each in heard} == set(wanted)
            found = await built.peers[3].records.read("job", "j77")
            assert found == Record("job", "j77", wanted["j77"], b"77")

    run(main())


def test_a_change_is_refused_to_who_knows_another_version(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(tmp_path, 2) as built:
            one, other = (built.peers[n].records for n in range(2))
            first = await one.create("job", "a", b"1")
            with pytest.raises(Exists, match="job/a"):
                await other.create("job", "a", b"2")
            second = await other.swap("job", "a", first, b"2")
            assert second > first
            with pytest.raises(Conflict, match=str(second)):
                await one.swap("job", "a", first, b"3")
            await one.swap("job", "a", second, None)
            assert await other.read("job", "a") is None
            with pytest.raises(Conflict, match="nothing"):
                await other.swap("job", "a", second, b"4")
            assert await other.create("job", "a", b"5") > second

    run(main())


def test_what_cannot_be_asked_is_misuse(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(tmp_path, 1) as built:
            records: Records = built.peers[0].records
            for kind, id_, size in [("Job", "a", 0), ("job", "a/b", 0), ("job", "", 0)]:
                with pytest.raises(Misuse):
                    await records.create(kind, id_, bytes(size))
            with pytest.raises(Misuse, match="1 MiB"):
                await records.create("job", "a", bytes((1 << 20) + 1))
            await records.create("job", "a", bytes(1 << 20))
            with pytest.raises(Misuse):
                await records.swap("job", "a", -1, b"")

    run(main())


def test_no_client_of_the_table_sees_records(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(tmp_path, 1) as built:
            peer = built.peers[0]
            await peer.records.create("job", "a", b"1")
            assert peer.status()["keys"] == 0
            peer.table_service.table.flush()
            found = await peer.records.read("job", "a")
            assert found
            assert found.body == b"1"

    run(main())


def test_all_is_there_after_a_peer_was_restarted(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(tmp_path, 3) as built:
            made = {
                f"j{n}": await built.peers[n % 3].records.create("job", f"j{n}", b"x")
                for n in range(50)
            }
            await built.down(0)
            await built.up(0)
            await until(lambda: all_have(built, made))
            asker = built.peers[0].records
            version = await asker.swap("job", "j0", made["j0"], b"y")
            await until(lambda: all_have(built, {**made, "j0": version}))

    run(main())


def test_all_is_there_after_everybody_was_restarted(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(tmp_path, 2) as built:
            version = await built.peers[1].records.create("job", "a", b"1")
        async with town(tmp_path, 2) as built:
            found = await built.peers[1].records.read("job", "a")
            assert found == Record("job", "a", version, b"1")
            await until(lambda: all_have(built, {"a": version}))

    run(main())


def test_others_serve_when_an_owner_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(tmp_path, 5) as built:
            made = {
                f"j{n}": await built.peers[n % 5].records.create("job", f"j{n}", b"x")
                for n in range(40)
            }
            await until(lambda: all_have(built, made))
            gone = built.owner("j40")
            assert gone is not None
            going = asyncio.ensure_future(built.down(gone))
            asker = next(p for n, p in built.peers.items() if n != gone).records
            for n in range(40, 80):  # Nobody notices but by the time it takes.
                made[f"j{n}"] = await asker.create("job", f"j{n}", b"x")
            await going
            await until(lambda: all_have(built, made))

    run(main())


def test_who_hears_nothing_from_an_owner_is_told_that_nobody_knows(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with town(tmp_path, 2) as built:
            owner = built.owner("a")
            assert owner is not None
            asker = built.peers[1 - owner].records
            link = built.peers[owner].links
            link.on_post("records", lambda *_: None)  # It hears, and does nothing.
            with pytest.raises(Unknown, match=built.peers[owner].name):
                await asker.create("job", "a", b"1", within_s=0.5)

    run(main())


def test_a_claim_is_one_peers_until_it_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(tmp_path, 3) as built:
            one, other, third = (built.peers[n].records for n in range(3))
            version = await one.create("job", "a", b"1")
            token = await one.claim("job", "a", 60)
            assert token > version
            with pytest.raises(Conflict, match="claimed for"):
                await other.claim("job", "a", 60)
            assert await one.claim("job", "a", 60, token=token) == token
            version = await one.swap("job", "a", token, b"2", token=token)
            await one.claim("job", "a", 0, token=token)
            later = await other.claim("job", "a", 0.2)
            assert later > version
            with pytest.raises(Conflict, match="has ended"):
                await one.swap("job", "a", later, b"3", token=token)
            async with asyncio.timeout(WITHIN_S):
                while True:  # It ends by itself.
                    try:
                        last = await third.claim("job", "a", 60)
                        break
                    except Conflict:
                        await asyncio.sleep(0.05)
            assert last > later
            with pytest.raises(Conflict, match="has ended"):
                await other.claim("job", "a", 60, token=later)

    run(main())


def test_a_watcher_is_told_what_there_is_and_then_each_change(tmp_path: Path) -> None:
    async def main() -> None:
        async with town(tmp_path, 2) as built:
            one, other = (built.peers[n].records for n in range(2))
            made = [await one.create("job", f"j{n}", b"x") for n in range(3)]
            await until(lambda: len(other.list("job")) == 3)
            heard: list[Record] = []
            stop = other.watch("job", heard.append, snapshot=True)
            assert sorted(each.id for each in heard) == ["j0", "j1", "j2"]
            later = await one.swap("job", "j1", made[1], b"y")
            await one.swap("job", "j1", later, None)
            await until(lambda: len(heard) == 5)
            assert [each.removed for each in heard[3:]] == [False, True]
            stop()
            await one.create("job", "j4", b"x")
            await until(lambda: len(other.list("job")) == 3)
            assert len(heard) == 5

    run(main())
