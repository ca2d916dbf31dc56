"""A peer in a process of its own, whose records a test reaches over its pipes.

python -m tests.end_to_end.archivist DIRECTORY [ADDRESS]: says who it is, then answers
each line of JSON with one.
"""

import asyncio
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from shoal.core.machine import Address
from shoal.core.records import Record
from shoal.errors import ShoalError
from shoal.net.home import Home, enter
from shoal.peer import Peer
from shoal.settings import PeerSettings

SECRET = bytes(16)

# Nobody else's: what flow does with its own is none of this.
KIND = "head"

HEARD: list[Record] = []


async def live(directory: Path, join: tuple[Address, ...]) -> None:
    home = Home(directory)
    settings = PeerSettings(directory=directory, port=0, join=join)
    loop = asyncio.get_running_loop()
    async with Peer.open(settings, home, enter(home, "peer", SECRET)) as peer:
        say({"name": peer.name, "address": peer.address})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            try:
                say(await answer(peer, **json.loads(line)))
            except ShoalError as error:
                say({"error": type(error).__name__})


async def answer(peer: Peer, do: str, **named: Any) -> Any:
    match do:
        case "create":
            versions = await asyncio.gather(
                *(peer.records.create(KIND, each, b"x") for each in named["ids"])
            )
            return dict(zip(named["ids"], versions, strict=True))
        case "swap":
            told = await asyncio.gather(
                *(swapped(peer, each) for each in named["ids"]), return_exceptions=True
            )
            pairs = zip(named["ids"], told, strict=True)
            return {name: told for name, told in pairs if isinstance(told, int)}
        case "list":
            return {each.id: each.version for each in peer.records.list(KIND)}
        case "watch":
            peer.records.watch(KIND, HEARD.append, snapshot=True)
            return len(HEARD)
        case "heard":
            return [(each.id, each.version) for each in HEARD]
        case "list in ms":
            began = perf_counter()
            found = peer.records.list(KIND)
            return [len(found), 1000 * (perf_counter() - began)]
    records = peer.records
    return {"owner": records.owner(KIND, "j0"), "copies_on": records.copies_on}


async def swapped(peer: Peer, name: str) -> int:
    """Change it, whatever stands there; the version it has then."""
    record = await peer.records.read(KIND, name)
    assert record, "nobody removes any"
    return await peer.records.swap(KIND, name, record.version, record.body + b"x")


def say(what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), tuple(map(Address, sys.argv[2:]))))
