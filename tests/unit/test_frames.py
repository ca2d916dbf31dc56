"""Frames, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.frames import FrameReader, framed
from shoal.errors import MalformedMessage


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(1, 50)), st.booleans())
def test_frames_come_back_whole_however_they_are_cut(
    bodies: list[bytes], cuts: list[int], rest: bool
) -> None:
    data = b"".join(map(framed, bodies)) + (b"\0\0\0\x09half" if rest else b"")
    reader, got = FrameReader(), []
    at = 0
    for cut in [*cuts, len(data)]:
        got += reader.feed(data[at : at + cut])
        at += cut
    assert got == bodies
    assert reader.rest() == (b"\0\0\0\x09half" if rest else b"")


def test_a_length_beyond_the_limit_is_refused_before_anything_is_kept() -> None:
    reader = FrameReader(100)
    with pytest.raises(MalformedMessage, match="101 bytes"):
        reader.feed(b"\0\0\0\x65" + b"x" * 50)
    assert reader.kept_bytes == 0


def test_a_long_frame_in_small_pieces_is_not_copied_once_a_piece() -> None:
    """16 MiB in 1 KiB pieces: quadratic copying would move 137 GB."""
    body = bytes(1 << 23)
    reader, data, got = FrameReader(), framed(body), []
    for start in range(0, len(data), 1024):
        got += reader.feed(data[start : start + 1024])
    assert got == [body]
