"""The command line. Commands are imported when they are called, not before."""

import sys

from cyclopts import App, CycloptsError

from shoal.cli.outcome import USAGE, complain
from shoal.errors import Misuse, ShoalError
from shoal.version import VERSION

app = App(
    name="shoal",
    help="A network of equal peers: nobody in charge, nothing acknowledged lost.",
    version=VERSION,
    version_flags=["--version"],
)
app.command("shoal.cli.up:up")
app.command("shoal.cli.up:join")
app.command("shoal.cli.down:down")
app.command("shoal.cli.members:status")
app.command("shoal.cli.members:members")
app.command("shoal.cli.sim:sim")
app.command("shoal.cli.demo:demo")
app.command("shoal.cli.version:version")
app.command("shoal.cli.completion:completion")


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
    except CycloptsError as error:
        complain(Misuse(_usage(error, given)), as_json=as_json)
        sys.exit(USAGE)
    except ShoalError as error:
        sys.exit(complain(error, as_json=as_json))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _usage(error: CycloptsError, given: list[str]) -> str:
    what = " ".join(str(error).split()).rstrip(".")
    commands = [name for name in given[:1] if name in app]
    return f"command line: {what}; see: {' '.join(['shoal', *commands, '--help'])}"


if __name__ == "__main__":
    main()
