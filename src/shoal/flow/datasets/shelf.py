"""Which files this peer holds, and how each looked when it was added.

Kept in one small file that is replaced whole: a start knows what it held before.
"""

from collections.abc import Iterable
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
        # By part, then by dataset: two may have equal parts, and files of their own.
        self._held: dict[str, dict[str, Held]] = {}
        if FILE in disk.names():
            try:
                kept = _decoder.decode(disk.read(FILE))
            except msgspec.MsgspecError as error:
                raise DirectoryDamaged(
                    f"flow/{FILE}: {error}; remove it and add your datasets again"
                ) from error
            self._take(kept)

    def all(self) -> list[Held]:
        """Everything held."""
        return [each for held in list(self._held.values()) for each in held.values()]

    def get(self, part: str) -> Held:
        """A part, or `NotFound`."""
        held = self._held.get(part)
        if not held:
            raise NotFound(
                f"part {part}: it is not held here any more; ask another peer"
            )
        return next(reversed(held.values()))  # Added last: it has hardly changed.

    def at(self, path: str, dataset: str) -> Held | None:
        """What was added to a dataset from that file, if anything."""
        found = (each for each in self.all() if each.path == path)
        return next((each for each in found if each.dataset == dataset), None)

    def put(self, *held: Held) -> None:
        """Hold these too. Write afterwards."""
        known = {(each.dataset, each.part) for each in self.all()}
        if len(known | {(each.dataset, each.part) for each in held}) > self._most:
            raise Overloaded(
                f"datasets: this peer holds {self._most} files, and no more; use others"
            )
        self._take(held)

    def _take(self, held: Iterable[Held]) -> None:
        for each in held:
            self._held.setdefault(each.part, {})[each.dataset] = each

    def drop(self, dataset: str, *parts: str) -> None:
        """Hold them no more for that dataset. Write afterwards."""
        for part in parts:
            self._held.get(part, {}).pop(dataset, None)
            if not self._held.get(part):
                self._held.pop(part, None)

    def settle(self, directory: Path) -> None:
        """Our own files lie there, wherever that was when they were made."""
        own = [each for each in self.all() if each.own]
        self._take(
            replace(each, path=str(directory / Path(each.path).name)) for each in own
        )

    def write(self) -> None:
        """Keep it through a crash. Waits for the disk: one thread does."""
        disk = self._disk
        disk.write(FRESH, msgspec.msgpack.encode(self.all()))
        disk.sync(FRESH)
        disk.rename(FRESH, FILE)
        disk.sync_directory()
