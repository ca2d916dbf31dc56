"""Which files this peer holds, and how each looked when it was added.

What its owner added is kept in one small file that is replaced whole.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from shoal.core.disk import Disk
from shoal.errors import DirectoryDamaged, NotFound, Overloaded
from shoal.flow.messages import MAX_PARTS, Form, Id, Name, Source

FILE, FRESH = "shelf", "shelf.new"
MAX_HELD = 16 * MAX_PARTS


class Held(Struct, frozen=True):
    """A part that lies here: rows in a file, from that offset on."""

    part: Id
    dataset: Id
    name: Name  # Of the file, without its directory.
    path: str
    offset: int
    form: Form
    rows: int
    stamp: tuple[int, int, int]
    own: bool = False  # We made it: its file says all of it.

    def source(self, start: int, stop: int) -> Source:
        """Some of its rows, for a worker."""
        return Source(self.path, self.offset, self.form, start, stop, self.stamp)


_decoder = msgspec.msgpack.Decoder(Annotated[list[Held], Meta(max_length=MAX_HELD)])


class Shelf:
    """The parts a peer holds, by id."""

    def __init__(
        self, disk: Disk, is_there: Callable[[Source], bool], most: int = MAX_HELD
    ) -> None:
        """`is_there` says whether a file is as it was when it was added."""
        self._is_there = is_there
        self._most = most
        self._disk = disk
        # By the part, then by dataset and path: files of equal content are one part.
        self._held: dict[str, dict[tuple[str, str], Held]] = {}
        if FILE in disk.names():
            try:
                self.put(*_decoder.decode(disk.read(FILE)))
            except msgspec.MsgspecError as error:
                raise DirectoryDamaged(
                    f"flow/{FILE}: {error}; remove it and add your datasets again"
                ) from error

    def all(self) -> list[Held]:
        """Everything held."""
        return [held for files in self._held.values() for held in files.values()]

    def get(self, part: str) -> Held:
        """A part, or `NotFound`; of several files, one that is as it was."""
        files = list(self._held.get(part, {}).values())
        if not files:
            raise NotFound(
                f"part {part}: it is not held here any more; add its file again"
            )
        if len(files) == 1:
            return files[0]  # Whoever reads it looks.
        there = (each for each in files if self._is_there(each.source(0, each.rows)))
        return next(there, files[0])

    def at(self, path: str, dataset: str) -> Held | None:
        """What was added to a dataset from that file, if anything."""
        where = dataset, path
        found = (files[where] for files in self._held.values() if where in files)
        return next(found, None)

    def put(self, *held: Held) -> None:
        """Hold these too. Write afterwards."""
        known = {(each.dataset, each.path) for each in self.all() if not each.own}
        fresh = {(each.dataset, each.path) for each in held if not each.own}
        if fresh and len(known | fresh) > self._most:
            raise Overloaded(
                f"datasets: this peer holds {self._most} files, and no more; use others"
            )
        for each in held:
            self._held.setdefault(each.part, {})[each.dataset, each.path] = each

    def drop(self, dataset: str, *parts: str) -> None:
        """Hold them for a dataset no more. Write afterwards."""
        for part in parts:
            files = self._held.pop(part, {})
            left = {where: held for where, held in files.items() if where[0] != dataset}
            if left:
                self._held[part] = left

    def encoded(self) -> bytes:
        """What is to be kept through a crash: what is not in files of our own."""
        return msgspec.msgpack.encode([each for each in self.all() if not each.own])

    def write(self, encoded: bytes) -> None:
        """Keep that. Waits for the disk, and one at a time."""
        disk = self._disk
        disk.write(FRESH, encoded)
        disk.sync(FRESH)
        disk.rename(FRESH, FILE)
        disk.sync_directory()
