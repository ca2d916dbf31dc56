"""Which peers of this user run on this machine: links to their data directories.

Whether a peer runs is told by the lock in its directory, never by a number in a file,
so that nothing here can be stale in a way that matters.
"""

from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from platformdirs import user_data_path, user_state_path

from shoal.core.machine import Address, PeerId
from shoal.net.home import running


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that runs now."""

    name: PeerId
    network: str
    address: Address
    port: int
    pid: int
    directory: Path
    shared_port: int = 0


def register(directory: Path) -> None:
    """Let this directory be found."""
    entry = _entries() / blake2b(bytes(directory), digest_size=8).hexdigest()
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        entry.symlink_to(directory)


def list_running() -> list[Running]:
    """Every peer of this user that runs on this machine, by network and port."""
    found = []
    for entry in sorted(_entries().glob("*")):
        try:
            directory = entry.readlink()
        except OSError:
            continue  # Another command has just removed it.
        who = running(directory)
        if who is None:
            entry.unlink(missing_ok=True)
        elif "name" in who:
            found.append(
                Running(
                    PeerId(who["name"]),
                    who["network"],
                    Address(who["address"]),
                    who["port"],
                    who["pid"],
                    directory,
                    who.get("shared_port", 0),
                )
            )
    return sorted(found, key=lambda each: (each.network, each.port))


def default_directory(port: int) -> Path:
    """Where the peer of a port lives unless told otherwise.

    Peers on any free port take the first directory that nobody runs on.
    """
    homes = user_data_path("shoal")
    if port:
        return homes / str(port)
    number = 1
    while running(homes / f"any-{number}") is not None:
        number += 1
    return homes / f"any-{number}"


def _entries() -> Path:
    return user_state_path("shoal") / "peers"
