"""What a catalog keeps, what changes in it, and how much of anything it takes."""

import math
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from shoal.errors import MalformedMessage

# Where programs look for a catalog, and what they call their list of them.
DEFAULT_PORT = 9097

# Of genuine catalogs: so long a record lives that nobody sends again.
LIFETIME_S = 1800

# An update after inflation, as genuine catalogs have it.
MAX_UPDATE_BYTES = (1 << 20) - 1

# One longer string, and the genuine programs can read nothing of a whole reply.
MAX_STRING_BYTES = 65_535

# Records of managers are three deep.
MAX_DEPTH = 32

# Names, values and elements: a manager's record has a hundred. Looking at so many takes
# 15 ms; a megabyte could hold half a million, and everybody up for 0.3 s.
MAX_ELEMENTS = 20_000

# A catalog says who, when and whence in front of them; others must read that too.
ELEMENTS_ADDED = 8

# More than twice as many as a genuine catalog; and the memory of a small machine,
# whatever they hold.
MAX_RECORDS = 25_000
MAX_TABLE_BYTES = 36 << 20

# What Python needs for a record beside its bytes: itself, its key, its places.
RECORD_BYTES = 1000

MAX_NAME = 128

# Of a type, what can be chosen by. One letter beyond Latin makes Python keep each of a
# text in four bytes.
MAX_TYPE = 200
WIDEST = 4

# A copy elsewhere may end so much later than ours: clocks differ by seconds in an hour,
# and a message may be under way. So long after it was heard an end is remembered.
SLACK, SLACK_S = 1.05, 60.0

# Records are kept as Python has them too, ready for filters, while there is room: a
# value takes a hundred bytes beside its letters. Five thousand usual ones take ten MB.
MAX_READY_BYTES = 8 << 20
VALUE_BYTES = 100

Fields = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


# What stands in a column for people: a number, a short text, or nothing.
Value = int | float | str | None


class Card(Struct, gc=False):
    """What people are shown of a record, kept until it changes."""

    values: tuple[Value, ...]
    words: bytes | None  # All that it says, in small letters, if that is not much.
    row: str = ""  # But for when it was heard; if that is not much.


class Entry(Struct, gc=False):
    """One record, its text ready but for when it was last heard from."""

    key: str
    name: str
    address: str
    type: str
    heard: int  # In seconds since 1970, as `lastheardfrom` says it.
    lifetime_s: int
    before: bytes
    after: bytes
    update: int | None = None  # The hash of what was sent, to know it again,
    host: str | None = None  # and the host's name then.
    kept: int = 0  # When the history last said that it was heard.
    expires: float = 0.0
    due: float = math.inf  # When the catalog next looks whether it has.
    fields_ready: Fields | None = None
    ready_bytes: int = 0
    card: Card | None = None
    # When it was heard, in ms, and after all that was heard of it before: the greater
    # is the newer, whatever the clocks of those who heard it.
    stamp: int = 0
    away_s: float = 0.0  # So much longer it lives because we were away.
    mark_ready: int = 0

    @property
    def mark(self) -> int:
        """What it says, but for when, in a number."""
        if not self.mark_ready:
            digest = blake2b(self.before + self.after, digest_size=8).digest()
            self.mark_ready = int.from_bytes(digest) >> 2 | 1
        return self.mark_ready

    @property
    def text_bytes(self) -> int:
        """How long its text is, but for when it was heard."""
        return len(self.before) + len(self.after)

    @property
    def size_bytes(self) -> int:
        """What it weighs."""
        return self.text_bytes + RECORD_BYTES

    @property
    def text(self) -> bytes:
        """The record as a JSON object, compact."""
        return b"%b%d%b" % (self.before, self.heard, self.after)

    def may_say(self, parts: list[bytes]) -> bool:
        """Does its text have these parts, as `said` makes them?"""
        after, before = self.after, self.before
        for each in parts:  # noqa: SIM110 - so often that a generator costs too much.
            if each not in after and each not in before:
                return False
        return True

    @property
    def fields(self) -> Fields:
        """The record as filters want it."""
        if self.fields_ready is None:
            return _decode(self.text)
        self.fields_ready["lastheardfrom"] = self.heard
        return self.fields_ready

    def make_ready(self, room_bytes: int) -> int:
        """Keep the fields if there is room for them; what they take."""
        values = self.after.count(b",") + self.after.count(b"[") + 2
        letter_bytes = 1 if self.after.isascii() else WIDEST
        size = len(self.after) * letter_bytes + VALUE_BYTES * values
        if size <= room_bytes:
            self.fields_ready, self.ready_bytes = _decode(self.text), size
        return self.ready_bytes


def said(name: str, value: str) -> bytes:
    """What stands in the text of every record that has this string for that name."""
    return b"%b:%b" % (_encode(name), _encode(value))


class Heard(Struct, frozen=True):
    """A record is new, or changed, or was heard from again a good while after."""

    key: str
    text: bytes
    at: float


class Forgotten(Struct, frozen=True):
    """A record is no more: it left, or was not heard from for its lifetime.

    Which one it was is said where other catalogs may have copies of it.
    """

    key: str
    at: float
    stamp: int = 0
    mark: int = 0


Change = Heard | Forgotten


class Ended(Struct, gc=False):
    """What is kept of a record that is no more, lest an older copy bring it back."""

    stamp: int
    mark: int
    until: float  # No catalog has a copy then.


def remembered_s(lifetime_s: int) -> float:
    """How long after a record was heard its end is of interest."""
    return lifetime_s * SLACK + SLACK_S


def entry_of(
    fields: Fields, *, address: str, host: str | None, heard: int, lifetime_s: int
) -> Entry:
    """A record of what somebody sent, from what we saw ourselves of the sender.

    The sender's name is the host's, if its address has one; its own word counts else.
    Nobody says from where, or when, they were heard.
    """
    sent = fields.pop("name", None)
    fields.pop("address", None)
    fields.pop("lastheardfrom", None)
    name = _told(host) or _told(sent) or address
    kind, own_s = fields.get("type"), fields.get("lifetime")
    if type(own_s) is int and 0 < own_s < lifetime_s:
        lifetime_s = own_s
    rest = _encode(fields)[1:]
    comma = b"" if rest == b"}" else b","
    return Entry(
        key=_key(fields, address, name),
        name=name,
        address=address,
        type=kind[:MAX_TYPE] if isinstance(kind, str) else "",
        heard=heard,
        lifetime_s=lifetime_s,
        before=b'{"name":%b,"lastheardfrom":' % _encode(name),
        after=b',"address":%b%b%b' % (_encode(address), comma, rest),
    )


def entry_again(text: bytes, lifetime_s: int) -> Entry:
    """A record of ours from its text, as the history keeps it."""
    fields = _decode(text)
    heard, address, name = (fields[n] for n in ("lastheardfrom", "address", "name"))
    return entry_of(
        fields,
        address=str(address),
        host=str(name),
        heard=int(heard),
        lifetime_s=lifetime_s,
    )


def entry_shared(fields: Fields, stamp: int, now: float, lifetime_s: int) -> Entry:
    """A record as another catalog heard it, or `MalformedMessage`."""
    address, name = _told(fields.get("address")), _told(fields.get("name"))
    if not (address and name):
        raise MalformedMessage("a shared record that does not say whose it is")
    heard = min(stamp // 1000, int(now))
    found = entry_of(
        fields, address=address, host=name, heard=heard, lifetime_s=lifetime_s
    )
    found.stamp = stamp
    return found


def _key(fields: Fields, address: str, name: str) -> str:
    port, uuid = fields.get("port"), fields.get("uuid")
    key = f"{address}:{port if type(port) is int else 0}:{name}"
    if isinstance(uuid, str):
        plain = "".join(sign if "!" <= sign <= "~" else "_" for sign in uuid[:MAX_NAME])
        key += f":{plain}"
    return key


def _told(name: object) -> str:
    """A name that can be part of a key and a URL; else none."""
    if isinstance(name, str) and 0 < len(name) <= MAX_NAME:
        plain = name.isascii() and name.isprintable() and " " not in name
        return name if plain else ""
    return ""
