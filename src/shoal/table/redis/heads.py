"""Lists too long to be made, refused before hiredis makes them.

hiredis makes a list of any length it is told before the first item is there: a
million and more is refused before hiredis sees it, as Redis refuses it. What looks like
the head of such a list may stand within a value, too; so where one is seen, and only
there, what came is walked through, head by head, values left out.
"""

import re

import hiredis

from shoal.table.redis.inline import MAX_LINE_BYTES

_TOO_MANY = re.compile(rb"[*~>|%][1-9][0-9]{6,}\r")
_STARRED = re.compile(rb"\*[1-9][0-9]{6,}\r")  # Searched for five times as fast.
_STARS = bytes.maketrans(b"~>|%", b"****")
_SIZED = re.compile(rb"[$=!](0|[1-9][0-9]{0,8})\Z")
_HEAD_BYTES = 24  # No head that hiredis takes is longer.

# More is not kept to be walked through later: it is walked through at once. A guess.
KEPT_BYTES = 1 << 20


class Heads:
    """Looks at all that is said to one hiredis reader, before it does."""

    def __init__(self) -> None:
        self.cut = b""  # The end of what was seen last, if it is within a line.
        self._kept: list[bytes] = []  # Not walked through.
        self._kept_bytes = 0
        self._left = 0  # Bytes of a value, from where the walk stands.
        self._begun = b""  # A head of which the rest comes, likewise.
        # Was there ever what may begin a set or a mapping, which no request is?
        self.marked = False

    def see(self, data: bytes) -> None:
        """Raise hiredis's error if a list that is too long begins here."""
        seen = self.cut + data if self.cut else data
        self.cut = b"" if seen.endswith(b"\n") else seen[-_HEAD_BYTES:]
        self.marked |= b"~" in data or b"%" in data or b"|" in data
        self._kept.append(data)
        self._kept_bytes += len(data)
        if _suspicious(seen) or self._kept_bytes > KEPT_BYTES:
            for kept in self._kept:
                self._walk(kept)
            self._kept.clear()
            self._kept_bytes = 0

    def forget(self) -> None:
        """All that was seen is read, and what comes next is a head."""
        self._kept.clear()
        self._kept_bytes = self._left = 0
        self._begun = b""

    def _walk(self, data: bytes) -> None:
        if self._left >= len(data):
            self._left -= len(data)
            return
        data, at = self._begun + data, self._left
        while (end := data.find(b"\r\n", at)) >= 0:
            if _TOO_MANY.match(data, at):
                raise hiredis.ProtocolError("invalid multibulk length")
            sized = _SIZED.match(data[at : min(end, at + _HEAD_BYTES)])
            at = end + 2 + (int(sized[1]) + 2 if sized else 0)
        self._left = max(at - len(data), 0)
        self._begun = data[at:]
        if _TOO_MANY.match(self._begun):
            raise hiredis.ProtocolError("invalid multibulk length")
        if len(self._begun) > MAX_LINE_BYTES:
            raise hiredis.ProtocolError("too big inline request")


def _suspicious(seen: bytes) -> bool:
    """May such a head stand anywhere?"""
    if b">" in seen or b"~" in seen or b"|" in seen or b"%" in seen:
        seen = seen.translate(_STARS)
    return bool(_STARRED.search(seen))
