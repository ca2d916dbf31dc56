"""A dataset grows by parts: who may add what, and in which order they stand.

A part is known by its content, so that a file that two peers hold is one part with two
holders; of equal files at one peer each is a part. The order is the one told with the
parts, else that of file names as people count (`t2` before `t10`), else that of peers.
"""

import re
from base64 import b32encode
from hashlib import blake2b

from msgspec.structs import replace

from shoal.core.machine import PeerId
from shoal.errors import Missing, Misuse
from shoal.flow.messages import MAX_HOLDERS, MAX_PARTS, DatasetRecord, Form, Part

_DIGITS = re.compile(r"([0-9]+)")


def dataset_id(name: str) -> str:
    """The same at every peer, so that all parts of a name meet in one record."""
    digest = blake2b(name.encode(), digest_size=10).digest()
    return "d" + b32encode(digest).decode().lower()[:12]


def part_id(digest: bytes, dataset: str, place: int | None, nth: int) -> str:
    """The nth part of that content, where that part was to stand, if it was said."""
    told = f"{digest.hex()} {dataset} {place} {nth}".encode()
    return blake2b(told, digest_size=16).hexdigest()


def joined(record: DatasetRecord, form: Form, parts: list[Part]) -> DatasetRecord:
    """The dataset with these parts too; the same object if they were all there."""
    if form != record.form:
        raise Misuse(
            f"dataset {record.name}: its rows are {shown(record.form)}, and these are "
            f"{shown(form)}; give it another name with --name"
        )
    known = {part.id: part for part in record.parts}
    for part in parts:
        known[part.id] = _with_holders(known.get(part.id), part)
    grown = tuple(sorted(known.values(), key=_place))
    if grown == record.parts:
        return record
    if len(grown) > MAX_PARTS:
        raise Misuse(f"dataset {record.name}: more than {MAX_PARTS} parts; merge some")
    same = [part.id for part in grown] == [part.id for part in record.parts]
    return replace(record, parts=grown, version=record.version + (not same))


def parted(record: DatasetRecord, holder: PeerId, parts: list[str]) -> DatasetRecord:
    """The dataset when a peer holds these no more."""
    left = []
    for part in record.parts:
        if part.id in parts:
            others = tuple(each for each in part.holders if each != holder)
            left += [replace(part, holders=others)] if others else []
        else:
            left.append(part)
    gone = len(left) != len(record.parts)
    return replace(record, parts=tuple(left), version=record.version + gone)


def refuse_incomplete(record: DatasetRecord) -> None:
    """Who was promised three parts is not given two in silence."""
    if record.lacks:
        first, most = record.lacks[0] + 1, record.expected
        raise Missing(
            f"dataset {record.name}: part {first} of {most} was not added yet; "
            f"add it with --part {first}/{most}"
        )


def shown(form: Form) -> str:
    """For people: float64, or float64 of 3 x 4."""
    kinds = {"f": "float", "i": "int", "u": "uint", "b": "bool", "c": "complex"}
    word = form.kind.lstrip("<>|=")
    name = kinds[word[0]] + ("" if word[0] == "b" else f"{8 * int(word[1:])}")
    if form.kind[0] == ">":
        name += " (big-endian)"
    return name + (
        f" of {' x '.join(map(str, form.trailing))}" if form.trailing else ""
    )


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts t2 before t10."""
    return [
        (int(piece), "") if piece.isdecimal() and piece.isascii() else (-1, piece)
        for piece in _DIGITS.split(name)
    ]


def _with_holders(known: Part | None, part: Part) -> Part:
    if known is None:
        return part
    if known.place not in (None, part.place) and part.place is not None:
        raise Misuse(
            f"file {part.name}: it equals {known.name}, which is another part, and "
            "equal files are one; correct --part, or give it another --name"
        )
    holders = tuple(dict.fromkeys([*known.holders, *part.holders]))[:MAX_HOLDERS]
    place = part.place if known.place is None else known.place
    return replace(known, holders=holders, place=place)


def _place(part: Part) -> tuple[float, list[tuple[int, str]], str, str]:
    place = float("inf") if part.place is None else part.place
    first = part.holders[0] if part.holders else ""
    return place, natural(part.name), first, part.id
