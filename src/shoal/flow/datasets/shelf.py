"""Which files this peer holds, and how each looked when it was added.

Kept in one small file that is replaced whole: a start knows what it held before.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

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
    own: bool = False  # We made the file, and remove it with the dataset.

    def source(self, start: int, stop: int) -> Source:
        """Some of its rows, for a worker."""
        # Nobody changes what is ours, and its number is another if it is moved.
        stamp = None if self.own else self.stamp
        return Source(self.path, self.offset, self.form, start, stop, stamp)


_decoder = msgspec.msgpack.Decoder(Annotated[list[Held], Meta(max_length=MAX_HELD)])


class Shelf:
    """The parts a peer holds, by id."""

    def __init__(self, disk: Disk, most: int = MAX_HELD) -> None:
        self._disk = disk
        self._most = most
        self._held: dict[str, Held] = {}
        if FILE in disk.names():
            try:
                self._held = {
                    each.part: each for each in _decoder.decode(disk.read(FILE))
                }
            except msgspec.MsgspecError as error:
                raise DirectoryDamaged(
                    f"flow/{FILE}: {error}; remove it and add your datasets again"
                ) from error

    def all(self) -> list[Held]:
        """Everything held."""
        return list(self._held.values())

    def get(self, part: str) -> Held:
        """A part, or `NotFound`."""
        held = self._held.get(part)
        if held is None:
            raise NotFound(
                f"part {part}: it is not held here any more; ask another peer"
            )
        return held

    def at(self, path: str) -> Held | None:
        """What was added from that file, if anything."""
        found = [each for each in self._held.values() if each.path == path]
        return found[0] if found else None

    def put(self, *held: Held) -> None:
        """Hold these too. Write afterwards."""
        fresh = {each.part: each for each in held}
        if len(self._held | fresh) > self._most:
            raise Overloaded(
                f"datasets: this peer holds {self._most} files, and no more; use others"
            )
        self._held |= fresh

    def drop(self, *parts: str) -> None:
        """Hold them no more. Write afterwards."""
        for part in parts:
            self._held.pop(part, None)

    def settle(self, directory: Path) -> None:
        """Our own files lie there, wherever that was when they were made."""
        for part, held in self._held.items():
            if held.own:
                path = str(directory / Path(held.path).name)
                self._held[part] = replace(held, path=path)

    def write(self) -> None:
        """Keep it through a crash. Waits for the disk: one thread does."""
        disk = self._disk
        disk.write(FRESH, msgspec.msgpack.encode(self.all()))
        disk.sync(FRESH)
        disk.rename(FRESH, FILE)
        disk.sync_directory()
