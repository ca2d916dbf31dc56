"""Which slot a key belongs to: Redis's rule, so that its cluster clients agree.

Keys with the same {tag} share a slot, whatever else is in them.
"""

from binascii import crc_hqx

from shoal.table.messages import SLOTS, UNIT_BITS


def slot_of(key: bytes) -> int:
    """CRC16 of the tag, or of the whole key if it has none."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def slots_of(unit: int) -> range:
    """The neighbouring slots that are placed together."""
    return range(unit << UNIT_BITS, unit + 1 << UNIT_BITS)
