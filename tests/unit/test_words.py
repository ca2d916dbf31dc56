"""What the prompt shows can be typed, and means the same bytes; and our plots."""

from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shoal.cli.plot import svg
from shoal.cli.rote import Rote, value_of
from shoal.cli.words import meant, readable, split
from shoal.errors import Misuse


@given(st.binary() | st.text().map(str.encode))
@example(b"")
@example(b"None")
@example(b'"')
@example(b" blank ")
@example(b"\\x41")
@example("\u2028".encode())
def test_what_is_shown_can_be_typed(data: bytes) -> None:
    shown = readable(data)
    assert meant(shown) == data
    assert shown.isprintable()
    assert shown != "None"


@given(st.binary(min_size=1), st.binary(min_size=1))
def test_two_words_are_told_apart(key: bytes, value: bytes) -> None:
    if b" " in key and not readable(key).startswith('"'):
        return  # Typed with quotation marks, it is one word.
    word, rest = split(f"{readable(key)} {readable(value)}")
    assert (meant(word), meant(rest)) == (key, value)


@pytest.mark.parametrize("text", ['"', '"open', '"a" b', '"a"b'])
def test_marks_that_do_not_match(text: str) -> None:
    with pytest.raises(Misuse, match="do not match"):
        meant(text)


def test_each_number_has_a_value_of_its_own() -> None:
    values = {value_of(n) for n in range(1000)}
    assert len(values) == 1000
    assert all(len(value) == 20 and value.isalnum() for value in values)


def test_a_benchmark_counts_only_what_went_as_it_should() -> None:
    class Forgetful(dict[bytes, bytes]):
        def put(self, key: bytes, value: bytes) -> bool:
            self[key] = value
            return True

        def delete(self, key: bytes) -> bool:
            return self.pop(key, None) is not None

    table = Forgetful()
    rote = Rote(table)
    assert rote.run("put", 10, 5) == 5
    table[b"12"] = b"another"
    del table[b"13"]
    assert rote.run("get", 10, 5) == 3
    assert rote.run("del", 10, 5) == 4


def test_a_plot_is_well_formed_and_within_its_frame() -> None:
    drawn = ElementTree.fromstring(
        svg({"a < b": [(1, 10.0), (2, 250.0)], "c": [(1, 0.0), (2, 0.5)]}, "x", "y&z")
    )
    assert drawn.attrib["viewBox"] == "0 0 720 420"
    texts = ["".join(each.itertext()) for each in drawn]
    assert {"a < b", "c", "x", "y&z", "400"} <= set(texts)
    for circle in drawn.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.attrib["cx"]) <= 720
        assert 0 <= float(circle.attrib["cy"]) <= 420
