"""What a command is: its name, how many words it takes, which of them are keys."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from shoal.table.messages import NEVER, Entry
from shoal.table.redis.replies import CommandError, Reply

if TYPE_CHECKING:
    from shoal.table.redis.talk import RedisTalk


class Keys(Protocol):
    """What commands on keys need of whoever owns them."""

    now_ms: int

    def find(self, key: bytes) -> Entry | None:
        """What a key has, if anything."""

    def put(self, key: bytes, value: bytes, deadline_ms: int = NEVER) -> None:
        """Let a key have that from now on."""

    def drop(self, key: bytes) -> bool:
        """Let a key have nothing; false if it had nothing."""

    def tell(self, event: str, key: bytes) -> None:
        """Something happened to a key, by that name."""


class KeyCommand(Struct, frozen=True):
    """A command on keys alone; `run` gets the words after its name.

    `arity` is as Redis says it: negative if there may be more words. So are the places
    of the keys among the words; a command without keys says 0.
    """

    name: str
    arity: int
    run: Callable[[Keys, list[bytes]], Reply]
    flags: tuple[str, ...] = ()
    first_key: int = 1
    last_key: int = 1
    key_step: int = 1


class TalkCommand(Struct, frozen=True):
    """A command about the conversation, or about the table as a whole."""

    name: str
    arity: int
    run: "Callable[[RedisTalk, list[bytes]], Reply]"
    flags: tuple[str, ...] = ()
    first_key: int = 0
    last_key: int = 0
    key_step: int = 0


Command = KeyCommand | TalkCommand


def lookup(commands: Mapping[bytes, Command], words: list[bytes]) -> Command:
    """The command these words call, or an error as Redis words it."""
    command = commands.get(words[0].upper())
    if command is None:
        raise CommandError(unknown(words))
    arity = command.arity
    if len(words) != arity if arity >= 0 else len(words) < -arity:
        name = command.name.lower()
        raise CommandError(f"ERR wrong number of arguments for '{name}' command")
    return command


def unknown(words: list[bytes]) -> str:
    """What Redis says to a command it does not have."""
    shown = ""
    for word in words[1:]:
        if len(shown) >= 128:
            break
        shown += f"'{text(word[: 128 - len(shown)])}' "
    name = text(words[0][:128])
    return f"ERR unknown command '{name}', with args beginning with: {shown}"


def text(word: bytes) -> str:
    """A word as part of a sentence; it goes back to the client as it came."""
    return word.decode(errors="surrogateescape")
