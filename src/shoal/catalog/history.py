"""What a catalog knew, and when: lines in files, each with its checksum.

A file begins with all records there were and goes on with what changed. It is whole and
safe before it gets its name, and a start begins another: nobody writes on where a crash
may have torn something. A line that does not match its checksum is passed over, so that
damage costs what it hit. The state at any time is one file read up to there.

  CHECKSUM H TIME KEY RECORD    heard: the record since then
  CHECKSUM G TIME KEY           gone; with STAMP MARK where other catalogs have copies
"""

import errno
import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from zlib import crc32

import msgspec

from shoal.catalog.messages import (
    LIFETIME_S,
    Change,
    Ended,
    Entry,
    Heard,
    entry_again,
    remembered_s,
)
from shoal.core.disk import Disk

# A question about the past reads at most so much, and the records of the day before.
FILE_BYTES = 32 << 20
FILE_S = 86_400

# A year of a thousand quiet records, or a week of ten thousand restless ones. A guess.
KEPT_BYTES = 1 << 30

# A file's first records are written, and all of it is read, so much at a time.
WRITTEN_BYTES, READ_BYTES = 64 << 10, 256 << 10

FRESH = "history.new"
_OURS = re.compile(r"history-([0-9]{10})-([0-9]{10,12})\Z")


class History:
    """Changes go in, records at a time come out. Called off the loop, one at a time;
    only `at` may be called beside the others.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        file_bytes: int = FILE_BYTES,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._disk = disk
        self._file_bytes = file_bytes
        self._kept_bytes = kept_bytes
        self._name = ""  # Of the file that is written.
        self._size_bytes = 0
        self._begun = 0.0

    def recover(self, lifetime_s: int = LIFETIME_S) -> list[Entry]:
        """The records there were at the end."""
        if FRESH in self._disk.names():
            self._disk.remove(FRESH)
        found = _files(self._disk.names())
        if not found:
            return []
        return _entries(_texts(self._lines(found[-1][2]), None), lifetime_s)

    def ended(self, lifetime_s: int, now: float) -> dict[str, Ended]:
        """What had ended by then and is to be remembered, in its order."""
        found = _files(self._disk.names())
        lines = self._lines(found[-1][2]) if found else ()
        ended: dict[str, Ended] = {}
        for kind, time, key, rest in _read(lines):
            ended.pop(key.decode(), None)
            until = time + remembered_s(lifetime_s)
            if kind == b"G" and rest and until > now:
                stamp, _, mark = rest.partition(b" ")
                ended[key.decode()] = Ended(int(stamp), int(mark), until)
        return ended

    def is_due(self, now: float) -> bool:
        """Is it time for another file?"""
        old = not 0 <= now - self._begun < FILE_S
        return not self._name or old or self._size_bytes >= self._file_bytes

    def give_up(self) -> None:
        """Some changes are lost: another file is due."""
        self._name = ""

    def begin(
        self,
        entries: Iterable[tuple[str, bytes]],
        now: float,
        ended: Iterable[Change] = (),
    ) -> None:
        """Begin another file: records by key, some at a time; what is remembered.

        Its name says from which second on it answers: all it begins with is before.
        """
        self._name = ""
        names = self._disk.names()
        number = 1 + max((each[0] for each in _files(names)), default=0)
        data, size = _line(b"B %.3f" % now), 0
        self._disk.write(FRESH, b"")
        heard = (_line(b"H %.3f %b %b" % (now, k.encode(), t)) for k, t in entries)
        for line in chain(heard, map(_told, ended)):
            data += line
            if len(data) > WRITTEN_BYTES:
                self._disk.append(FRESH, data)
                size, data = size + len(data), b""
        self._disk.append(FRESH, data)
        self._disk.sync(FRESH)
        name = f"history-{number:010}-{max(math.ceil(now), 0):010}"
        self._disk.rename(FRESH, name)
        self._disk.sync_directory()
        self._name, self._size_bytes, self._begun = name, size + len(data), now
        self._clean()

    def append(self, changes: Iterable[Change]) -> None:
        """Add what changed. An error means that another file is due."""
        if not self._name:
            raise OSError(errno.EIO, "no file was begun")
        data = b"".join(map(_told, changes))
        name, self._name = self._name, ""
        self._disk.append(name, data)
        self._name = name
        self._size_bytes += len(data)

    def sync(self) -> None:
        """Let what was added survive a power cut."""
        if self._name:
            name, self._name = self._name, ""
            self._disk.sync(name)
            self._name = name

    def at(self, time: float, lifetime_s: int = LIFETIME_S) -> list[Entry]:
        """The records there were then; none from before the first file."""
        found = [each for each in _files(self._disk.names()) if each[1] <= time]
        if not found:
            return []
        return _entries(_texts(self._lines(found[-1][2]), time), lifetime_s)

    def _lines(self, name: str) -> Iterator[bytes]:
        """A file's lines, of which little more than one is in memory."""
        start, rest = 0, b""
        while part := self._disk.read(name, start, READ_BYTES):
            start += len(part)
            *whole, rest = (rest + part).split(b"\n")
            yield from whole
        yield rest

    def _clean(self) -> None:
        """Forget the oldest days where there are too many."""
        room = self._kept_bytes - self._size_bytes
        for _, _, name in reversed(_files(self._disk.names())[:-1]):
            if room > 0:
                room -= len(self._disk.read(name))
            if room <= 0:
                self._disk.remove(name)


def _files(names: Iterable[str]) -> list[tuple[int, int, str]]:
    """Number, when it begins, name; in their order."""
    found = [(match, name) for name in names if (match := _OURS.match(name))]
    return sorted((int(match[1]), int(match[2]), name) for match, name in found)


def _told(change: Change) -> bytes:
    if isinstance(change, Heard):
        line = b"H %.3f %b %b" % (change.at, change.key.encode(), change.text)
    else:
        line = b"G %.3f %b" % (change.at, change.key.encode())
        if change.stamp:
            line += b" %d %d" % (change.stamp, change.mark)
    return _line(line)


def _line(said: bytes) -> bytes:
    return b"%08x %b\n" % (crc32(said), said)


def _read(lines: Iterable[bytes]) -> Iterator[tuple[bytes, float, bytes, bytes]]:
    """Kind, time, key and the rest of each line about a record that is not damaged."""
    for line in lines:
        checksum, _, said = line.partition(b" ")
        if checksum == b"%08x" % crc32(said):
            kind, time, *rest = said.split(b" ", 3)
            if rest:
                yield kind, float(time), rest[0], rest[1] if len(rest) > 1 else b""


def _texts(lines: Iterable[bytes], until: float | None) -> dict[bytes, bytes]:
    """What the lines up to a time come to, by key."""
    texts: dict[bytes, bytes] = {}
    for kind, time, key, rest in _read(lines):
        if until is not None and time > until:
            break
        if kind == b"H":
            texts[key] = rest
        elif kind == b"G":
            texts.pop(key, None)
    return texts


def _entries(texts: dict[bytes, bytes], lifetime_s: int) -> list[Entry]:
    """Records of their texts, which are let go of meanwhile."""
    found = []
    for key in list(texts):
        entry = _again(texts.pop(key), lifetime_s)
        if entry is not None:
            found.append(entry)
    return found


def _again(text: bytes, lifetime_s: int) -> Entry | None:
    try:
        return entry_again(text, lifetime_s)
    except (msgspec.MsgspecError, KeyError):
        return None  # Of another version: the sender will tell us anew.
