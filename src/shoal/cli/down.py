"""shoal down."""

import shlex
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from shoal.cli import which
from shoal.cli.options import PLAIN, Options
from shoal.cli.outcome import show
from shoal.errors import NoPeer, NotFound, Unanswered, Unreachable
from shoal.net.home import running
from shoal.net.registry import Running, list_running

# A peer that is well answers in milliseconds, and gives its units away within two
# seconds.
ANSWER_S = 3.0


def down(name: str | None = None, /, *, options: Options = PLAIN) -> None:
    """Stop all peers of the network on this machine, or one of them.

    They keep their places: `shoal up` brings them back. Ends when they have ended.

    Parameters
    ----------
    name
        The peer to stop, or the beginning of its name.
    """
    peers = _chosen(name)
    for peer in peers:
        # One that ended meanwhile is well; one that does not answer is named below.
        with suppress(Unreachable, Unanswered):
            client = which.client_of(peer, min(ANSWER_S, options.timeout))
            if name:  # Others stay, and are to answer for its keys at once.
                client.post("/api/retire")
            client.post("/api/down")
    _wait_ended(peers, options.timeout)
    show(
        [{"name": each.name, "address": each.address} for each in peers],
        as_json=options.json,
        people=partial(_print, back=peers[0].directory if name else None),
    )


def _print(stopped: list[dict[str, str]], back: Path | None) -> None:
    for each in stopped:
        print(f"{each['name']} stopped")
        if back:
            again = f"shoal up --dir {shlex.quote(str(back))}"
            print(f"  bring it back, with the options it had:  {again}")


def _chosen(name: str | None) -> list[Running]:
    if name is None:
        return which.this_network()
    peers = [each for each in list_running() if each.name.startswith(name)]
    if not peers:
        raise NotFound(f"peer {name}: none of yours runs here; see: shoal members")
    if len(peers) > 1:
        found = ", ".join(each.name for each in peers)
        raise NoPeer(f"peer {name}: it may be any of {found}; say more of its name")
    return peers


def _wait_ended(peers: list[Running], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    left = peers
    while left := [each for each in left if running(each.directory) is not None]:
        if time.monotonic() > end:
            names = ", ".join(each.name for each in left)
            pids = " ".join(str(each.pid) for each in left)
            raise Unanswered(
                f"peer {names}: still running after {timeout_s:g} s; "
                f"end it with: kill -9 {pids}"
            )
        time.sleep(0.02)  # A lock cannot be waited for with a deadline.
