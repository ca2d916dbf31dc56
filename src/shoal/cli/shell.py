"""shoal shell: a prompt that speaks the table's verbs.

Lines from a pipe are carried out without a prompt. The end of the input, or `exit`,
ends it; a word that is no command, or too few words, say what there is.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from shoal.cli import which
from shoal.cli.options import ANY, PeerOptions
from shoal.cli.outcome import complain
from shoal.cli.rote import Rote
from shoal.cli.words import meant, readable, split
from shoal.client.documents import shown
from shoal.client.table import Table
from shoal.client.verbs import Verbs
from shoal.core import address as addresses
from shoal.core.machine import Address
from shoal.errors import Misuse, ShoalError

PROMPT = "$> "
HISTORY = 1000

# What is longer is not listed to complete a key.
MAX_OFFERED = 1000

USES = {
    "put": ("put KEY VALUE", "let a key have a value, which may have blanks"),
    "get": ("get KEY", "what a key has; None if it has nothing"),
    "del": ("del KEY", "let a key have nothing; False if it had nothing"),
    "keys": ("keys", "all keys of all peers that answer, a line each; so does list"),
    "benchmark": (
        "benchmark put|get|del FIRST COUNT",
        "so many numbered keys, one after the other",
    ),
    "help": ("help", "this list"),
    "exit": ("exit", "the end; so is the end of input"),
}


class _Exit(Exception):
    """It is over."""


def shell(
    *,
    up: bool = False,
    listen: str = f"{addresses.LOOPBACK}:0",
    join: tuple[str, ...] = (),
    dir: Path | None = None,  # noqa: A002 - it is the option's name.
    options: PeerOptions = ANY,
) -> None:
    """Talk with the table at a prompt: put, get, del, keys, benchmark.

    Lines from a pipe work too. A value between quotation marks may have the marks
    of Redis's: \\n, \\t, \\xNN. `exit`, or the end of input, ends it.

    Parameters
    ----------
    up
        Start a peer for this prompt, which ends with it.
    listen
        Where that peer listens, as in shoal up; any free port unless told otherwise.
    join
        HOST:PORT of a peer of the network that it is to join.
    dir
        Its data directory.
    """
    if up:
        with _own_peer(listen, join, dir, options.timeout) as address:
            _talk(address, options)
    else:
        _talk(which.client(options.timeout, options.project).address, options)


def _talk(address: Address, options: PeerOptions) -> None:
    prompt = _Prompt(address, options)
    ended = False
    while not ended:
        try:
            with suppress(_Exit):
                for line in prompt.lines():
                    prompt.obey(line)
            ended = True
        except KeyboardInterrupt:  # Pressed twice, or between two lines.
            if not prompt.asks:
                raise


@contextmanager
def _own_peer(
    listen: str, join: tuple[str, ...], directory: Path | None, timeout_s: float
) -> Iterator[Address]:
    """A peer that runs while the block does; its address."""
    from shoal.cli.plan import Plan
    from shoal.cli.spawn import Child, start, stop

    plan = Plan.read(listen=listen, join=join, directory=directory)
    children: list[Child] = []
    try:
        [told] = start([plan], children, time.monotonic() + timeout_s)
        yield Address(told["address"])
    finally:
        stop(children)


class _Prompt:
    """One person, or one script, and the table."""

    def __init__(self, address: Address, options: PeerOptions) -> None:
        self._verbs = Verbs(address, options.timeout)
        self._timeout_s = options.timeout
        self._as_json = options.json
        self.asks = sys.stdin.isatty()
        self._commands: dict[str, Callable[[str], None]] = {
            "put": self._put,
            "get": self._get,
            "del": self._delete,
            "keys": self._keys,
            "list": self._keys,
            "benchmark": self._benchmark,
            "help": self._help,
            "exit": self._exit,
        }

    def lines(self) -> Iterator[str]:
        """What is said, until the end of the input."""
        if not self.asks:
            for line in sys.stdin.buffer:
                yield line.decode(errors="surrogateescape")
            return
        with _history(self._complete):
            while True:
                try:
                    yield input(PROMPT)
                except EOFError:
                    print()
                    return
                except KeyboardInterrupt:
                    print()  # The line is forgotten, and nothing else.

    def obey(self, line: str) -> None:
        """Carry out one line, and say what became of it."""
        name, _, rest = line.strip("\r\n").lstrip().partition(" ")
        if not name:
            return
        try:
            run = self._commands.get(name)
            if run is None:
                there = ", ".join(USES)
                raise Misuse(f"command {name}: there is none; there are {there}")
            run(rest.strip())
        except ShoalError as error:
            complain(error, as_json=self._as_json)
        except KeyboardInterrupt:
            print()  # The command is given up; the connection with it.
        sys.stdout.flush()

    # Commands

    def _put(self, rest: str) -> None:
        key, value = split(rest)
        if not value:
            raise _misused("put")
        name = self._key(key, "put")
        if b" " in name:
            raise Misuse(
                f"key {key}: a key that is put here has no blank; use: shoal put"
            )
        self._tell(self._verbs.put(name, meant(value.strip())))

    def _get(self, rest: str) -> None:
        self._tell(self._verbs.get(self._key(rest, "get")))

    def _delete(self, rest: str) -> None:
        self._tell(self._verbs.delete(self._key(rest, "del")))

    def _keys(self, rest: str) -> None:
        if rest:
            raise _misused("keys")
        table = Table(self._verbs.address, self._timeout_s)
        with closing(table):
            keys = table.scan()
            self._list(keys)

    def _list(self, keys: Iterable[bytes]) -> None:
        if self._as_json:
            print(json.dumps([shown(key) for key in keys]))
        for key in [] if self._as_json else keys:
            print(readable(key))

    def _benchmark(self, rest: str) -> None:
        match rest.split():
            case ["put" | "get" | "del" as action, first, count]:
                if not (first.isdecimal() and count.isdecimal()):
                    raise _misused("benchmark")
                begun = time.perf_counter()
                done = Rote(self._verbs).run(action, int(first), int(count))
                seconds = time.perf_counter() - begun
            case _:
                raise _misused("benchmark")
        if self._as_json:
            told = {"action": action, "succeeded": done, "of": int(count)}
            print(json.dumps({**told, "duration_s": round(seconds, 3)}))
            return
        print(f"{done} of {count} succeeded")
        print(f"{count} {action} operations completed in {seconds:.3f} seconds.")

    def _help(self, _: str) -> None:
        width = max(len(use) for use, _ in USES.values())
        for use, says in USES.values():
            print(f"{use:{width}}  {says}")

    def _exit(self, _: str) -> None:
        raise _Exit

    # Words

    def _key(self, text: str, command: str) -> bytes:
        if not text or (" " in text and not text.startswith('"')):
            raise _misused(command)
        return meant(text)

    def _tell(self, result: bytes | bool | None) -> None:
        if self._as_json:
            value: Any = shown(result) if isinstance(result, bytes) else result
            print(json.dumps({"ret": value}))
        else:
            text = readable(result) if isinstance(result, bytes) else result
            print(f"RET> {text}")

    def _complete(self, line: str) -> list[str]:
        """What the last word of a line may become."""
        command, blank, rest = line.partition(" ")
        if not blank:
            return [f"{name} " for name in USES if name.startswith(command)]
        if command == "benchmark":
            return [f"{a} " for a in ("put", "get", "del") if a.startswith(rest)]
        if command not in ("get", "del", "put"):
            return []
        try:
            found = self._verbs.keys()[:MAX_OFFERED]
        except ShoalError:
            return []
        shown_keys = [readable(key) for key in found]
        return [each for each in shown_keys if each.startswith(rest)]


def _misused(command: str) -> Misuse:
    use, says = USES[command]
    return Misuse(f"command {command}: it is used as {use}; {says}")


class _history:  # noqa: N801 - it is used as a function.
    """Lines said before, and completion, while the block runs."""

    def __init__(self, complete: Callable[[str], list[str]]) -> None:
        self._complete = complete
        self._found: list[str] = []

    def __enter__(self) -> None:
        import readline

        path = _history_path()
        with suppress(OSError):
            readline.read_history_file(path)
        readline.set_history_length(HISTORY)
        readline.set_completer_delims(" ")
        readline.set_completer(self._offer)
        readline.parse_and_bind("tab: complete")

    def __exit__(self, *error: object) -> None:
        import readline

        path = _history_path()
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)  # It may hold what was put.
            readline.write_history_file(path)
        readline.set_completer(None)

    def _offer(self, text: str, number: int) -> str | None:
        import readline

        if number == 0:
            line = readline.get_line_buffer()[: readline.get_endidx()]
            self._found = self._complete(line.lstrip())
        return self._found[number] if number < len(self._found) else None


def _history_path() -> Path:
    return user_state_path("shoal") / "history"
