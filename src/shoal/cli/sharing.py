"""shoal wait, leave, where, recover: the table that all share, and a place in it."""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import Parameter, validators

from shoal.cli import which
from shoal.cli.options import ANY, WAITING, PeerOptions, WaitOptions
from shoal.cli.outcome import show
from shoal.client import Client
from shoal.errors import Misuse, Refused, Unanswered, Unreachable
from shoal.net.home import running

# Between two looks: a person does not notice it, and a peer hardly.
LOOK_S = 0.1

# Each asks all peers how they stand, which gives up on a silent one after a second.
ANSWER_S = 5.0

Members = Annotated[int, Parameter(validator=validators.Number(gte=1))]


def wait(
    *,
    replicated: bool = False,
    members: Members | None = None,
    options: WaitOptions = WAITING,
) -> None:
    """Wait until nothing is lacking: every copy of the table is where it should be.

    Parameters
    ----------
    replicated
        Until every replica holds everything, and every peer that keeps the table is
        there; ends with 124 and says what is lacking if that takes too long.
    members
        So many peers that keep the table will do: others of them may be away, and
        others may be about to come.
    """
    if not replicated:
        raise Misuse("wait: it does not say for what; say: shoal wait --replicated")
    end = time.monotonic() + options.timeout
    client = which.client(min(options.timeout, ANSWER_S), options.project)
    path = "/api/table" + (f"?members={members}" if members else "")
    while not (told := client.get(path))["replicated"]:
        if time.monotonic() > end:
            raise Unanswered(
                f"table: not replicated after {options.timeout:g} s, it waits for "
                f"{told['lacks']}; wait longer with --timeout, or see: shoal members"
            )
        time.sleep(LOOK_S)
    show(told, as_json=options.json, people=_whole)


def _whole(told: dict[str, Any]) -> None:
    print(f"replicated: every copy is where it should be, in view {told['view']}")


def where(key: str, /, *, options: PeerOptions = ANY) -> None:
    """Say which peer answers for a key, and which have copies of it.

    Parameters
    ----------
    key
        It need not have a value.
    """
    client = which.client(options.timeout, options.project)
    asked = quote(key.encode(errors="surrogateescape"), safe="")
    told = client.get(f"/api/where/{asked}")
    show({"key": key, **told}, as_json=options.json, people=_where)


def _where(told: dict[str, Any]) -> None:
    print(f"owner     {told['owner'] or 'nobody at present'}")
    print(f"replicas  {', '.join(told['replicas'])}")
    print(f"slot      {told['slot']}, in unit {told['unit']}")


def leave(*, options: WaitOptions = WAITING) -> None:
    """Let a peer hand over all it keeps of the table, then leave and end.

    The peer of this machine, or the one at SHOAL_PEER. `shoal down` stops a peer that
    is to come back; one that has left comes back as a newcomer.
    """
    end = time.monotonic() + options.timeout
    client = which.client(min(options.timeout, ANSWER_S), options.project)
    told = client.status()
    client.post("/api/leave")
    _follow(client, told["name"], end, quiet=options.json or not sys.stderr.isatty())
    directory = Path(told["directory"])
    while (running(directory) or {}).get("name") == told["name"]:
        _check(told["name"], end)
        time.sleep(LOOK_S)
    left = {"name": told["name"], "address": told["address"]}
    show(left, as_json=options.json, people=lambda _: print(f"{told['name']} has left"))


def _follow(client: Client, name: str, end: float, *, quiet: bool) -> None:
    """Show how it goes, until the peer answers no more."""
    with suppress(Unreachable):
        while True:
            left = client.status()["units_owned"]
            if not quiet:
                print(f"\r\x1b[K  {left} units to hand over", end="", file=sys.stderr)
            _check(name, end)
            time.sleep(LOOK_S)
    if not quiet:
        print("\r\x1b[K", end="", file=sys.stderr)


def _check(name: str, end: float) -> None:
    if time.monotonic() > end:
        raise Unanswered(
            f"peer {name}: it still hands over what it has; it goes on, and ends by "
            "itself: see shoal status"
        )


def recover(
    *,
    force: bool = False,
    yes: bool = False,
    options: PeerOptions = ANY,
) -> None:
    """Let the network go on from one peer's copy, when the others are lost for good.

    The peer of this machine, or the one at SHOAL_PEER, becomes the first member of the
    network, and the only one until others come. Without --force nothing is done but to
    say what that would mean.

    Parameters
    ----------
    force
        Do it.
    yes
        Do not ask.
    """
    client = which.client(options.timeout, options.project)
    told = client.get("/api/recover")
    if not force:
        raise Misuse(f"recover: {_risk(told)}; if so, say: shoal recover --force")
    if not yes and not _agreed(told):
        raise Refused("recover: nothing was done, since you did not say yes; see --yes")
    done = client.post("/api/recover")
    show(done, as_json=options.json, people=_recovered)


def _risk(told: dict[str, Any]) -> str:
    lost = told["units_lost"]
    gone = f"{lost} of 1024 units have no copy here and are lost, and " if lost else ""
    return (
        f"{gone}what was changed without {told['name']} is lost, as is whatever "
        f"{', '.join(told['away'])} acknowledged since or does yet: do it only if they "
        "never come back, or come back as newcomers"
    )


def _agreed(told: dict[str, Any]) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"Careful: {_risk(told)}.", file=sys.stderr)
    return input("Go on without them? [y/N] ").strip().lower() in ("y", "yes")


def _recovered(told: dict[str, Any]) -> None:
    print(
        f"{told['name']} goes on alone, in view {told['view']}; let others join it, "
        "and see: shoal status"
    )
