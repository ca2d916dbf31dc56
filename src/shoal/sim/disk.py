"""A disk that forgets as real ones do.

What is written can be read at once, from the system's cache. A power cut brings back
what was synced: bytes by `sync`, names by `sync_directory`. Of the rest a real disk
keeps what it had got to. A file system that keeps a journal, as ext4 does, gets to
changes of names in their order; to bytes of files in any order, and independently: a
file may be found under its new name with nothing in it.
"""

import errno
import math
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from shoal.core.disk import checked

# kept   the process died, the system lives: all that was written is there
# lost   power cut: what was synced, and no more
# torn   power cut: what was synced, and some of the rest, perhaps garbage at its end
# wiped  another, empty disk
Crash = Literal["kept", "lost", "torn", "wiped"]

# A sector is written whole or not at all: damage begins where one begins.
SECTOR_BYTES = 512


@dataclass(slots=True, eq=False)
class _File:
    content: bytearray = field(default_factory=bytearray)
    safe_bytes: int = 0  # So much from its beginning is on the disk.
    replaced: bytes | None = None  # On the disk instead, until the next sync.
    unsure: bool = False  # A sync failed: what is not safe will never be.

    def write(self, data: bytes) -> None:
        self.replaced = self.on_disk()
        self.content, self.safe_bytes, self.unsure = bytearray(data), 0, False

    def sync(self) -> None:
        self.safe_bytes, self.replaced = len(self.content), None

    def on_disk(self) -> bytes:
        if self.replaced is not None:
            return self.replaced
        return bytes(self.content[: self.safe_bytes])

    def settle(self, content: bytes) -> None:
        """Hold this, all of it safe."""
        self.content, self.unsure = bytearray(content), False
        self.sync()

    def torn(self, rng: Random) -> bytes:
        """What was safe and a part of the rest, its last sectors blank or garbage."""
        if self.replaced is not None and rng.random() < 0.5:
            return self.replaced
        safe = self.safe_bytes
        end = rng.randint(safe, len(self.content))
        sector = rng.randint(safe // SECTOR_BYTES, end // SECTOR_BYTES)
        bad = end - max(safe, sector * SECTOR_BYTES)
        tail = rng.choice(
            (self.content[end - bad : end], bytes(bad), rng.randbytes(bad))
        )
        return bytes(self.content[: end - bad] + tail)


@dataclass(frozen=True, slots=True)
class _Change:
    """A file came (no old name), went (no new name) or was renamed."""

    file: _File
    old: str | None
    new: str | None

    def apply(self, names: dict[str, _File]) -> None:
        if self.old is not None:
            del names[self.old]
        if self.new is not None:
            names[self.new] = self.file


class SimulatedDisk:
    """A `core.disk.Disk` in memory, to be crashed, filled and broken."""

    def __init__(self, capacity_bytes: float = math.inf) -> None:
        self.capacity_bytes = capacity_bytes
        self.failing_syncs = 0  # So many syncs from now on fail, of files or of names.
        self._names: dict[str, _File] = {}
        self._safe_names: dict[str, _File] = {}
        self._changes: list[_Change] = []  # Since names were last synced.

    @property
    def used_bytes(self) -> int:
        """So much is written."""
        return sum(len(file.content) for file in self._names.values())

    # Faults

    def crash(self, mode: Crash, rng: Random) -> None:
        """Lose what such a crash loses. Whoever used the disk must recover from it."""
        match mode:
            case "kept":
                for file in self._names.values():
                    if file.unsure:  # The system had dropped it from its cache.
                        file.settle(file.on_disk())
            case "lost":
                self._settle(dict(self._safe_names))
                for file in self._names.values():
                    file.settle(file.on_disk())
            case "torn":
                names = dict(self._safe_names)
                for change in self._changes[: rng.randint(0, len(self._changes))]:
                    change.apply(names)
                self._settle(names)
                for file in self._names.values():
                    file.settle(file.torn(rng))
            case "wiped":
                self._settle({})

    def _settle(self, names: dict[str, _File]) -> None:
        self._names, self._safe_names, self._changes = names, dict(names), []

    # Disk

    def names(self) -> list[str]:
        """The files there are, in alphabetical order."""
        return sorted(self._names)

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """What is written, synced or not: all of it, or that part if there."""
        end = None if size is None else start + size
        return bytes(self._file(name).content[start:end])

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file, made if missing. If it fails nothing is added."""
        file = self._made(name)
        _refuse_unsure(name, file)
        if len(data) > self._free_bytes():
            raise _full(name)
        file.content += data

    def write(self, name: str, data: bytes) -> None:
        """Make a file, or replace what is in it. If it fails any part may be there."""
        file = self._made(name)
        file.write(b"")
        free = self._free_bytes()
        file.write(data if len(data) <= free else data[: int(free)])
        if len(data) > free:
            raise _full(name)

    def sync(self, name: str) -> None:
        """Wait until a file's bytes survive a power cut. Its name may yet be lost."""
        file = self._file(name)
        _refuse_unsure(name, file)
        file.unsure = self._breaks()
        _refuse_unsure(name, file)
        file.sync()

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, at once, replacing what had it."""
        file = self._file(old)
        if checked(new) != old:
            self._change(_Change(file, old, new))

    def remove(self, name: str) -> None:
        """Take a file away."""
        self._change(_Change(self._file(name), name, None))

    def sync_directory(self) -> None:
        """Wait until names, new, changed or removed, survive a power cut."""
        if self._breaks():
            raise OSError(errno.EIO, "the names could not be synced")
        self._settle(self._names)

    # Files

    def _file(self, name: str) -> _File:
        if checked(name) not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return self._names[name]

    def _made(self, name: str) -> _File:
        if checked(name) not in self._names:
            self._change(_Change(_File(), None, name))
        return self._names[name]

    def _change(self, change: _Change) -> None:
        change.apply(self._names)
        self._changes.append(change)

    def _free_bytes(self) -> float:
        return max(0.0, self.capacity_bytes - self.used_bytes)

    def _breaks(self) -> bool:
        broken = self.failing_syncs > 0
        self.failing_syncs -= broken
        return broken


def _refuse_unsure(name: str, file: _File) -> None:
    if file.unsure:
        raise OSError(errno.EIO, "a sync failed; write it anew", name)


def _full(name: str) -> OSError:
    return OSError(errno.ENOSPC, "the disk is full", name)
