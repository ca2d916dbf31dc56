"""The command line. Commands are imported when they are called, not before."""

import errno
import os
import sys

from cyclopts import (
    App,
    CycloptsError,
    Parameter,
    UnknownOptionError,
    UnusedCliTokensError,
)

from shoal.cli.outcome import USAGE, complain
from shoal.errors import Misuse, ShoalError
from shoal.version import VERSION


def _default(value: object) -> str | None:
    """A default as help shows it: what stands for nothing is not shown."""
    if value is None or value is False or value in ("", ()):
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


app = App(
    name="shoal",
    help=(
        "A network of equal peers, with nobody in charge. Commands talk to the peer "
        "of this machine, or to the one at SHOAL_PEER=HOST:PORT, with the token in the "
        "file SHOAL_TOKEN if it is not yours."
    ),
    help_epilogue=(
        "Exit codes: 0 done, 1 failed, 2 usage, 3 peer unreachable, 4 not found, "
        "5 refused, 6 outcome unknown, 124 deadline, 130 interrupted."
    ),
    version=VERSION,
    version_flags=["--version"],
    # No --no-json, no --empty-join: what is not asked for is left out.
    default_parameter=Parameter(negative=(), show_default=_default),
)
# What a command is called, if Python has another use for the word.
NAMES = {"table:delete": "del"}

FULL = "output: no space left where it goes; make room there, or send it elsewhere"

for path, text in (
    ("up:up", "Start a peer, or several: until Ctrl-C, or detached."),
    ("up:join", "Start a peer in the network of another: up --join, on a free port."),
    ("sharing:leave", "Hand over what a peer keeps of the table, then end it."),
    ("sharing:recover", "Go on without the peers that will never come back."),
    ("down:down", "Stop the peers of the network on this machine, or one of them."),
    ("members:status", "How the peer is that your commands talk to."),
    ("members:members", "Who is in the network, since when, and who says so."),
    ("table:put", "Let a key of the table have a value."),
    ("table:get", "Print what a key of the table has."),
    ("table:delete", "Let keys of the table have nothing."),
    ("table:keys", "List the keys of the table."),
    ("sharing:where", "Say which peer answers for a key, and who has copies."),
    ("sharing:wait", "Wait until every copy of the table is where it should be."),
    ("watch:watch", "Print each change of some keys of the table, as it happens."),
    ("shell:shell", "Talk with the table at a prompt."),
    ("bench:bench", "Measure the table of the network that runs."),
    ("jobs:run", "Compute an expression of datasets where they lie, and wait for it."),
    ("jobs:result", "Wait for a job, however long, and print what it came to."),
    ("jobs:jobs", "List the jobs of the network, the latest first."),
    ("jobs:why", "Say what a job read, did where, moved, and why; or why it failed."),
    ("jobs:operations", "List the operations that an expression may use."),
    ("datasets:datasets", "List the datasets of the network, or all about one."),
    ("datasets:add", "Publish .npy files, or folders of some, where they lie."),
    ("datasets:fetch", "Save a dataset as one .npy file, or go on with it."),
    ("catalog:find", "Find who offers something, in catalogs, by an expression."),
    ("sim:sim", "Simulate a whole network; one seed gives one play."),
    ("demo:demo", "Show a network on this machine: five peers compute, one is killed."),
    ("version:version", "Which version this is."),
    (
        "completion:completion",
        "Complete our commands in your shell.",
    ),
):
    app.command(f"shoal.cli.{path}", help=text, name=NAMES.get(path))

catalog = App(name="catalog", help="Catalogs: who offers what, to everybody.")
catalog.command(
    "shoal.cli.catalog:serve",
    help="Be a catalog until Ctrl-C, for our peers and for programs of CCTools.",
)
catalog.command("shoal.cli.catalog:query", help="List what is announced to a catalog.")
app.command(catalog)


def main(arguments: list[str] | None = None) -> None:
    """Run one command, and end with the code that says how it went."""
    given = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given
    try:
        code = app(
            given,
            result_action="return_value",
            exit_on_error=False,
            print_error=False,
        )
        sys.stdout.flush()
    except CycloptsError as error:
        complain(Misuse(_usage(error, given)), as_json=as_json)
        sys.exit(USAGE)
    except ShoalError as error:
        sys.exit(complain(error, as_json=as_json))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(_nobody_reads())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _nobody_reads()  # What could not be written is not tried again at the end.
        sys.exit(complain(ShoalError(FULL), as_json=as_json))
    sys.exit(code if isinstance(code, int) else 0)


def _nobody_reads() -> int:
    """Whoever read our output has gone: end as if by SIGPIPE, without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _usage(error: CycloptsError, given: list[str]) -> str:
    what = " ".join(str(error).split()).partition(" Available commands:")[0].rstrip(".")
    if isinstance(error, UnusedCliTokensError):
        what = f"{' '.join(error.unused_tokens or ())} is too much"
        what += ", or quotes are missing" if given[0] == "run" else ""
    if isinstance(error, UnknownOptionError):
        what += "; what is none and begins with a hyphen stands after --"
    commands = [name for name in given[:1] if name in app]
    if commands == ["catalog"]:
        commands += [name for name in given[1:2] if name in catalog]
    return f"command line: {what}; see: {' '.join(['shoal', *commands, '--help'])}"


if __name__ == "__main__":
    main()
