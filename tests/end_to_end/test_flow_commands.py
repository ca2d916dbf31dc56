"""Computing from a command line: what is printed, and the code it ends with."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tests.end_to_end.cluster import START_S, Cluster, wait_until
from tests.end_to_end.science import Lab, integers, lab, save

FAILED, USAGE, NOT_FOUND, REFUSED, INTERRUPTED = 1, 2, 4, 5, 130

ROWS = integers(3, 1000)


@pytest.fixture(scope="module")
def science(sharer: Cluster) -> Lab:
    return lab(sharer, [{"a": ROWS}])


@pytest.fixture
def here(science: Lab, tmp_path: Path) -> "Here":
    return Here(science, tmp_path)


class Here:
    """Commands in a directory of their own."""

    def __init__(self, science: Lab, directory: Path) -> None:
        self._cluster = science.cluster
        self.directory = directory

    def shoal(self, *arguments: str) -> CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "shoal", *arguments],
            cwd=self.directory,
            env=self._cluster.environment,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )

    def fails(self, *arguments: str) -> tuple[int, str]:
        done = self.shoal(*arguments)
        assert done.stdout == ""
        return done.returncode, done.stderr


def test_a_result_alone_is_for_programs(here: Here) -> None:
    assert here.shoal("run", "-q", "sum(a)").stdout == f"{ROWS.sum()}\n"
    dataset = here.shoal("run", "--quiet", "a + 1").stdout.strip()
    assert dataset.startswith("d")
    job = f"j{dataset[1:]}"
    assert here.shoal("result", "-q", job).stdout == f"{dataset}\n"
    said = here.shoal("result", job).stdout
    assert f"a + 1 = dataset {dataset}, 1,000 rows of int64" in said
    assert here.fails("run", "-q", "sum(b)")[0] == FAILED


def test_lists_are_a_line_a_row_for_programs(here: Here) -> None:
    long = "sum(" + " + ".join(["a"] * 40) + ")"
    here.shoal("run", long, "--tag", "long")
    [_, line] = here.shoal("jobs", "--tag", "long").stdout.splitlines()
    assert f"{long} = {40 * ROWS.sum()}" in line


def test_one_dataset_is_told_with_its_parts(here: Here) -> None:
    folder = here.directory / "runs"
    for number in (2, 10):
        save(folder, f"t{number}", np.arange(number))
    assert here.shoal("add", "runs").returncode == 0
    lines = here.shoal("datasets", "runs").stdout.splitlines()
    assert lines[0].startswith("runs: 12 rows of int64")
    assert [line.split()[:5:4] for line in lines[-2:]] == [
        ["1", "t2.npy"],
        ["2", "t10.npy"],
    ]
    assert here.shoal("datasets", "nobody").returncode == NOT_FOUND
    plan = here.shoal("run", "--explain", "mean(runs)").stdout
    assert "steps 0 to 1 at" in plan


def test_several_files_are_added_at_once(here: Here) -> None:
    for name in ("x", "y", "z"):
        save(here.directory, name, np.arange(3))
    added = json.loads(here.shoal("add", "x.npy", "y.npy", "--json").stdout)
    assert [each["name"] for each in added] == ["x", "y"]
    done = here.shoal("add", "z.npy", "nothing.npy", "--json")
    assert done.returncode == NOT_FOUND
    assert [each["name"] for each in json.loads(done.stdout)] == ["z"]
    assert here.fails("add", "x.npy", "y.npy", "--part", "1/2")[0] == USAGE


def test_fetch_writes_where_it_is_told(here: Here) -> None:
    (here.directory / "to").mkdir()
    assert here.shoal("fetch", "a", "to").stdout.startswith("to/a.npy: ")
    assert np.array_equal(np.load(here.directory / "to" / "a.npy"), ROWS)
    assert [each.name for each in here.directory.iterdir()] == ["to"]
    code, said = here.fails("fetch", "a", "no/where.npy")
    assert code == NOT_FOUND
    assert "folder no: there is none" in said


def test_fetch_replaces_nothing_unless_told(here: Here) -> None:
    kept = save(here.directory, "a", np.arange(3))
    code, said = here.fails("fetch", "a")
    assert code == REFUSED
    assert "--force" in said
    assert len(np.load(kept)) == 3
    assert here.shoal("fetch", "a", "--force").returncode == 0
    assert len(np.load(kept)) == 1000


def test_fetch_takes_a_jobs_id(here: Here) -> None:
    job = here.shoal("run", "a * 2", "--detach").stdout.strip()
    here.shoal("result", job)
    assert here.shoal("fetch", job, "twice.npy").returncode == 0
    assert np.array_equal(np.load(here.directory / "twice.npy"), ROWS * 2)
    number = here.shoal("run", "sum(a)", "--detach").stdout.strip()
    here.shoal("result", number)
    code, said = here.fails("fetch", number)
    assert code == NOT_FOUND
    assert f"shoal result {number}" in said


def test_fetch_goes_on_where_it_was_interrupted(here: Here, science: Lab) -> None:
    rows = np.arange(20_000_000)
    path = save(science.cluster.root / "large", "large", rows)
    science.flow().add(str(path))
    process = subprocess.Popen(
        [sys.executable, "-m", "shoal", "fetch", "large"],
        cwd=here.directory,
        env=science.cluster.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    part = here.directory / "large.npy.part"
    wait_until(lambda: part.exists() and part.stat().st_size > 0, 10, "its beginning")
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=START_S)
    assert process.returncode == INTERRUPTED
    assert "the same command goes on" in said
    assert part.stat().st_size < path.stat().st_size
    assert here.shoal("fetch", "large").returncode == 0
    assert np.array_equal(np.load(here.directory / "large.npy"), rows)
    assert not part.exists()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("run", "mean", "a"), "a is too much, or quotes are missing"),
        (("run", "-a"), "stands after --"),
        (("datasets", "a", "b"), "b is too much"),
    ],
)
def test_a_command_line_that_cannot_be_meant(
    here: Here, command: tuple[str, ...], says: str
) -> None:
    code, said = here.fails(*command)
    assert code == USAGE
    assert says in said


def test_an_expression_may_begin_with_a_hyphen(here: Here) -> None:
    assert here.shoal("run", "-q", "--", "-sum(a)").stdout == f"{-ROWS.sum()}\n"


def test_a_wrong_expression_is_told_to_programs(here: Here) -> None:
    code, said = here.fails("run", "maen(a)", "--json")
    assert code == USAGE
    assert json.loads(said)["error"] == {
        "kind": "BadExpression",
        "thing": "expression maen(a)",
        "cause": "no operation `maen`: did you mean `mean`?",
        "next": "correct it at maen(a)",
    }
