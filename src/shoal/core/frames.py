"""A stream of bytes cut into frames: four bytes of length, big-endian, then a body.

The first byte of a frame is 0, since no body is longer than 2^24 - 1 bytes: that is
how the door tells frames from text.
"""

from struct import Struct

from shoal.errors import MalformedMessage

MAX_FRAME_BYTES = 2**24 - 1
_HEAD = 4
_size_at = Struct(">I").unpack_from


def framed(body: bytes) -> bytes:
    """Put the length before a body."""
    assert len(body) <= MAX_FRAME_BYTES, f"{len(body)} bytes is too large"
    return len(body).to_bytes(_HEAD) + body


class FrameReader:
    """Gives back whole frames, and keeps what is not whole yet.

    A long frame that comes in small pieces is copied twice, not once a piece.
    """

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self.limit = limit
        self._kept = bytearray()
        self._need = _HEAD

    @property
    def kept_bytes(self) -> int:
        """How much is waiting for its rest."""
        return len(self._kept)

    def feed(self, data: bytes) -> list[bytes]:
        """Every frame that is whole now."""
        if self._kept:
            self._kept += data
            if len(self._kept) < self._need:
                return []
            data = bytes(self._kept)
            self._kept.clear()
        frames: list[bytes] = []
        start, end, self._need = 0, len(data), _HEAD
        while end - start >= _HEAD:
            (size,) = _size_at(data, start)
            if size > self.limit:
                if frames:
                    break  # Those before it may raise the limit.
                raise MalformedMessage(
                    f"a frame of {size} bytes is longer than {self.limit}"
                )
            stop = start + _HEAD + size
            if stop > end:
                self._need = _HEAD + size
                break
            frames.append(data[start + _HEAD : stop])
            start = stop
        if start < end:
            self._kept += data[start:]
        return frames

    def rest(self) -> bytes:
        """Give up reading, and give back what was not whole."""
        rest = bytes(self._kept)
        self._kept.clear()
        return rest
