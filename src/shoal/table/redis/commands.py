"""What a command is: its name, how many words it takes, which of them are keys."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from shoal.table.messages import NEVER, Entry
from shoal.table.redis.replies import CommandError, Reply, Status

if TYPE_CHECKING:
    from shoal.table.redis.talk import RedisTalk

# A turn's work, about 5 ms of it, counted in bytes of replies: so much is answered
# before it is looked whether the client reads it, and whether others wait.
TURN_BYTES = 1 << 20

# So much of a client's words is shown where Redis shows no more, and elsewhere.
SHOWN_BYTES = 128
LONGEST_SHOWN_BYTES = 1 << 10


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
    of the keys among the words. Flags, categories, tips and what is done to the keys
    (`access`) are what COMMAND INFO tells clients, separated by blanks.
    """

    name: str
    arity: int
    run: Callable[[Keys, list[bytes]], Reply]
    flags: str
    category: str
    access: str
    tips: str = ""
    first_key: int = 1
    last_key: int = 1
    key_step: int = 1
    work: int = 0


class TalkCommand(Struct, frozen=True):
    """A command about the conversation, or about the table as a whole.

    `work` is what it costs beside its words and its reply, in bytes of replies. One
    that `changes` the conversation is not undone with what a full disk refuses.
    """

    name: str
    arity: int
    run: "Callable[[RedisTalk, list[bytes]], Reply]"
    flags: str = ""
    category: str = ""
    tips: str = ""
    access: str = ""
    first_key: int = 0
    last_key: int = 0
    key_step: int = 0
    work: int = 0
    changes: bool = False


Single = KeyCommand | TalkCommand


class Family(Struct, frozen=True):
    """Commands that share their first word."""

    name: str
    members: tuple[Single, ...]
    arity: int = -2
    # COMMAND alone says something too.
    alone: TalkCommand | None = None

    def find(self, word: bytes) -> Single | None:
        """The one that is called by this second word."""
        name = f"{self.name}|{text(word).upper()}"
        return next((each for each in self.members if each.name == name), None)


Command = Single | Family
Commands = Mapping[bytes, Command]


def help_on(
    family: str, lines: Sequence[str], category: str = "", flags: str = "loading stale"
) -> TalkCommand:
    """The member of a family that says what the others are."""
    shown: Reply = [Status(line) for line in lines]
    return TalkCommand(f"{family}|HELP", 2, lambda *_: shown, flags, category)


def lookup(commands: Commands, words: list[bytes]) -> tuple[Single, list[bytes]]:
    """The command these words call and the words for it, or Redis's error."""
    command = commands.get(words[0].upper())
    if command is None:
        raise CommandError(_unknown(words))
    if not isinstance(command, Family):
        check_arity(command, len(words))
        return command, words[1:]
    if len(words) == 1:
        if command.alone is None:
            raise wrong_arity(command.name)
        return command.alone, []
    member = command.find(words[1])
    if member is None:
        raise CommandError(
            f"ERR unknown subcommand '{text(words[1], SHOWN_BYTES)}'. "
            f"Try {command.name} HELP."
        )
    check_arity(member, len(words))
    return member, words[2:]


def check_arity(command: Single, count: int) -> None:
    """Are there as many words as the command takes?"""
    arity = command.arity
    if count != arity if arity >= 0 else count < -arity:
        raise wrong_arity(command.name)


def wrong_arity(name: str) -> CommandError:
    """There are too many words or too few."""
    return CommandError(f"ERR wrong number of arguments for '{name.lower()}' command")


def text(word: bytes, limit: int = LONGEST_SHOWN_BYTES) -> str:
    """A word as part of a sentence; it goes back to the client as it came."""
    return word.partition(b"\0")[0][:limit].decode(errors="surrogateescape")


def _unknown(words: list[bytes]) -> str:
    shown = b""
    for word in words[1:]:
        if len(shown) >= SHOWN_BYTES:
            break
        word = word.partition(b"\0")[0]
        shown += b"'%b' " % word[: SHOWN_BYTES - len(shown)]
    begun = shown.decode(errors="surrogateescape")
    name = text(words[0], SHOWN_BYTES)
    return f"ERR unknown command '{name}', with args beginning with: {begun}"
