"""What can go wrong at the start, each said in one line: the thing, why, what next."""

import json
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from shoal.core.hello import SECRET_BYTES
from tests.end_to_end.cluster import Cluster, Node

FAILED, USAGE, UNREACHABLE, NOT_FOUND, DEADLINE = 1, 2, 3, 4, 124


@pytest.fixture(scope="module")
def node(sharer: Cluster) -> Node:
    """Somebody who is in the way."""
    return sharer.up()[0]


def complains(user: Cluster, *command: str, code: int, kind: str, says: str) -> None:
    """Does the command end so, in words for people and for programs?"""
    plain = user.shoal(*command)
    _check(plain, code, says)
    assert plain.stderr.startswith("shoal: ")
    told = user.shoal(*command, "--json")
    _check(told, code, says)
    error = json.loads(told.stderr)["error"]
    assert error["kind"] == kind
    assert all(error[part] for part in ("thing", "cause", "next")), error


def _check(done: CompletedProcess[str], code: int, says: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("detach", [(), ("--detach",)], ids=["stay", "detach"])
def test_a_directory_serves_one_process(
    sharer: Cluster, node: Node, detach: tuple[str, ...]
) -> None:
    complains(
        sharer,
        *("up", "--listen", ":0", "--dir", str(node.directory), *detach),
        code=FAILED,
        kind="DirectoryHeld",
        says=f"{node.name} (process {node.pid})",
    )


def test_a_taken_port_names_who_has_it(
    sharer: Cluster, node: Node, tmp_path: Path
) -> None:
    complains(
        sharer,
        *("up", "--listen", node.address, "--dir", str(tmp_path / "new")),
        code=FAILED,
        kind="NotListening",
        says=f"{node.name} (process {node.pid}) has it",
    )


@pytest.mark.parametrize(
    ("listen", "says"),
    [
        ("0.0.0.0:0", "add --insecure"),
        ("192.0.2.1:0", "add --insecure"),
        ("0.0.0.0:0 --insecure", "--advertise HOST:PORT"),
        ("192.0.2.1:0 --insecure", "cannot assign requested address"),
    ],
)
def test_an_address_that_cannot_be_listened_on(
    user: Cluster, listen: str, says: str
) -> None:
    command = ("up", "--listen", *listen.split())
    done = user.shoal(*command)
    assert done.returncode == FAILED
    assert done.stderr.splitlines()[-1].startswith("shoal: address ")
    assert says in done.stderr


@pytest.mark.parametrize(
    ("listen", "says"),
    [("foo.invalid", "no host of that name"), ("76000", "from 0 to 65535")],
)
def test_an_address_that_means_nothing(user: Cluster, listen: str, says: str) -> None:
    complains(
        user, "up", "--listen", listen, code=USAGE, kind="InvalidAddress", says=says
    )


def test_nobody_to_join(user: Cluster) -> None:
    complains(
        user,
        *("join", "127.0.0.1:1"),
        code=UNREACHABLE,
        kind="Unreachable",
        says="nobody listens there",
    )


@pytest.mark.parametrize("detach", [(), ("--detach",)], ids=["stay", "detach"])
def test_a_join_that_fails_leaves_nothing(
    user: Cluster, tmp_path: Path, detach: tuple[str, ...]
) -> None:
    token = tmp_path / "token"
    token.write_text("00" * SECRET_BYTES)
    for known in ((), ("--token", str(token))):
        where = ("--dir", str(tmp_path / "new" / "peer"))
        done = user.shoal("join", "127.0.0.1:1", *where, *known, *detach)
        assert done.returncode == UNREACHABLE, done.stderr
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("detach", [(), ("--detach",)], ids=["stay", "detach"])
def test_a_join_that_fails_leaves_what_was_there(
    user: Cluster, tmp_path: Path, detach: tuple[str, ...]
) -> None:
    [node] = user.up("--dir", str(tmp_path / "old"))
    user.ask("down")
    (tmp_path / "empty").mkdir()
    (tmp_path / "noted").mkdir()
    (tmp_path / "noted" / "note").write_text("mine")
    for name in ("old", "empty", "noted"):
        before = sorted(each.name for each in (tmp_path / name).iterdir())
        where = ("--dir", str(tmp_path / name))
        assert user.shoal("join", "127.0.0.1:1", *where, *detach).returncode != 0
        after = sorted(each.name for each in (tmp_path / name).iterdir())
        assert set(before) <= set(after)
        assert name == "old" or after == before
    assert json.loads((node.directory / "identity.json").read_text())["seed"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("up", "--wrong"), "--wrong"),
        (("members", "--wrong"), "--wrong"),
        (("wrong",), "wrong"),
        (("up", "--peers", "many"), "many"),
        (("sim", "--timeout", "inf"), "inf"),
        (("join",), "ADDRESS"),
    ],
)
def test_a_command_line_without_sense(
    user: Cluster, command: tuple[str, ...], says: str
) -> None:
    complains(user, *command, code=USAGE, kind="Misuse", says=says)


def test_no_peers_at_all(user: Cluster) -> None:
    complains(user, "up", "--peers", "0", code=USAGE, kind="Misuse", says="peers 0")
    complains(user, "members", code=UNREACHABLE, kind="NoPeer", says="shoal up")


def test_a_name_nobody_has(sharer: Cluster, node: Node) -> None:
    complains(
        sharer, "down", "nosuch", code=NOT_FOUND, kind="NotFound", says="peer nosuch"
    )


def test_a_chosen_peer_that_is_not_there(user: Cluster) -> None:
    done = user.shoal("status", environment={"SHOAL_PEER": "127.0.0.1:1"})
    assert done.returncode == UNREACHABLE
    assert "127.0.0.1:1: connection refused" in done.stderr


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("identity.json", '{"format": 1, "seed"', "identity.json cannot be read"),
        ("identity.json", '{"format": 1}', "identity.json cannot be read"),
        ("identity.json", '{"format": 99}', "its format is 99"),
        ("identity.json", "\xff\0", "identity.json cannot be read"),
        ("token", "short", "copy it from another peer"),
        ("generation", "many", "generation cannot be read"),
    ],
)
def test_a_damaged_directory(
    user: Cluster, tmp_path: Path, file: str, content: str, says: str
) -> None:
    (tmp_path / file).write_text(content, encoding="latin-1")
    complains(
        user,
        *("up", "--listen", ":0", "--dir", str(tmp_path)),
        code=FAILED,
        kind="DirectoryDamaged",
        says=says,
    )


def test_a_play_that_takes_too_long(user: Cluster) -> None:
    complains(
        user,
        *("sim", "--peers", "50", "--seconds", "3600", "--timeout", "0.3"),
        code=DEADLINE,
        kind="Unanswered",
        says="longer with --timeout",
    )


def test_a_mistake_in_a_command_of_catalogs_points_to_its_help(user: Cluster) -> None:
    for command, says in (
        (("catalog", "serve", "--port", "x"), "see: shoal catalog serve --help"),
        (("catalog", "sevre"), "see: shoal catalog --help"),
    ):
        complains(user, *command, code=USAGE, kind="Misuse", says=says)


@pytest.mark.parametrize("command", [("version",), ("get", "colour")])
def test_output_that_finds_no_room_is_said_in_a_line(
    sharer: Cluster, node: Node, command: tuple[str, ...]
) -> None:
    chosen = {**sharer.environment, "SHOAL_PEER": node.address}
    assert sharer.shoal("put", "colour", "x" * 9000, environment=chosen).returncode == 0
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "shoal", *command],
            env=chosen,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == FAILED
    assert done.stderr.startswith("shoal: output: no space left")
    assert done.stderr.count("\n") == 1
