"""What happens to keys, told on channels to whoever chose to hear of it."""

from collections.abc import Callable

from shoal.table.protocol import Table

# In the order in which Redis writes the classes; those of A, and the two of where.
_EVERYTHING = "g$lshzxetd"
_WHERE = "KE"
_KNOWN = "Ag$lshzxeKEtmdn"

_CLASSES = {
    **dict.fromkeys(["del", "expire", "persist"], "g"),
    **dict.fromkeys(["set", "append", "setrange", "incrby", "incrbyfloat"], "$"),
    "expired": "x",
    "keymiss": "m",
    "new": "n",
}

Publish = Callable[[bytes, bytes], int]


class Events:
    """Tells the classes of events that were chosen; none at first."""

    def __init__(self, table: Table, publish: Publish) -> None:
        self._table = table
        self._publish = publish
        self.chosen = ""

    def choose(self, classes: str) -> None:
        """Tell these from now on; ValueError if one does not exist."""
        if not set(classes) <= set(_KNOWN):
            raise ValueError(f"Invalid event class character. Use '{_KNOWN}'.")
        chosen = classes.replace("A", _EVERYTHING)
        everything = set(chosen) >= set(_EVERYTHING)
        classes = "A" if everything else _in_order(chosen, _EVERYTHING)
        self.chosen = classes + _in_order(chosen, "nKEm")
        self._classes = frozenset(chosen)
        needed = self._classes & set(_WHERE)
        self._table.told = self._tell if needed else None

    def _tell(self, event: str, key: bytes) -> None:
        if _CLASSES[event] not in self._classes:
            return
        name = event.encode()
        if "K" in self._classes:
            self._publish(b"__keyspace@0__:" + key, name)
        if "E" in self._classes:
            self._publish(b"__keyevent@0__:" + name, key)


def _in_order(chosen: str, order: str) -> str:
    return "".join(each for each in order if each in chosen)
