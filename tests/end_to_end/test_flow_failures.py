"""What cannot be computed fails by name, soon, and harms nobody else."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shoal.errors import BadExpression, Misuse, NotFound, Unreachable, UnreadableFile
from tests.end_to_end.cluster import Cluster, all_see, wait_until
from tests.end_to_end.science import JOB_S, Lab, integers, lab, save


@pytest.fixture(scope="module")
def science(sharer: Cluster) -> Lab:
    """Files to be hurt, at a peer that is not asked."""
    victims = {f"v{n}": integers(n, 100_000) for n in range(8)}
    kinds = {"short": integers(9, 999), "flags": np.arange(100_000) % 3 == 0}
    held = [{"good": integers(1)}, {**victims, **kinds}]
    return lab(sharer, held, "--worker-memory-mb", "600")


@pytest.fixture(autouse=True)
def unharmed(science: Lab) -> Iterator[None]:
    """Whatever failed, the next job does not."""
    yield
    assert science.value("sum(good)") == science.arrays["good"].sum()


def file(science: Lab, name: str) -> Path:
    return science.cluster.root / "data1" / f"{name}.npy"


def reason(science: Lab, expression: str) -> str:
    record = science.run(expression)
    assert record["state"] == "failed"
    return str(record["reason"])


def test_a_truncated_file(science: Lab) -> None:
    os.truncate(file(science, "v0"), 1000)
    assert "v0.npy" in reason(science, "sum(v0)")


def test_a_file_that_has_gone(science: Lab) -> None:
    file(science, "v1").unlink()
    assert "v1.npy" in reason(science, "sum(v1)")


def test_a_file_that_was_changed(science: Lab) -> None:
    np.save(file(science, "v2"), integers(77, 100_000))
    assert "v2.npy" in reason(science, "v2 + v3")
    flow = science.flow(1)
    with pytest.raises(Misuse, match="--replace"):
        flow.add(str(file(science, "v2")))
    flow.add(str(file(science, "v2")), replace=True)
    wait_until(
        lambda: science.run("sum(v2)")["value"] == integers(77, 100_000).sum(),
        10,
        "the new rows",
    )


def test_rows_of_a_changed_file_move_nowhere(user: Cluster) -> None:
    made = lab(user, [{"large": integers(1)}, {"small": integers(2).astype(np.int8)}])
    assert made.value("sum(large * small)", 0) == int(
        (made.arrays["large"] * made.arrays["small"]).sum()
    )
    path = user.root / "data1" / "small.npy"
    np.save(path, integers(3).astype(np.int8))
    record = made.run("sum(large * small)")
    assert record["state"] == "failed"
    assert "small.npy" in record["reason"]
    for node in range(2):
        with pytest.raises(Unreachable):
            made.flow(node).array("small")


def test_a_foreign_file_is_not_added(science: Lab) -> None:
    path = science.cluster.root / "notes.npy"
    path.write_text("These are no numbers, but a line of text that is rather long.\n")
    with pytest.raises(UnreadableFile, match=r"notes\.npy"):
        science.flow().add(str(path))
    with pytest.raises(NotFound, match="nowhere"):
        science.flow().add("/nowhere/at/all.npy")


def test_an_unknown_name(science: Lab) -> None:
    assert "nobody" in reason(science, "mean(nobody)")
    with pytest.raises(NotFound):
        science.flow().dataset("nobody")


@pytest.mark.parametrize(
    ("expression", "told"),
    [("v3 + short", "short"), ("-flags", "flags")],
)
def test_types_that_do_not_go_together(
    science: Lab, expression: str, told: str
) -> None:
    assert told in reason(science, expression)


def test_a_text_that_is_no_expression_begins_no_job(science: Lab) -> None:
    before = len(science.flow().jobs())
    texts = ["", "mean(", "import os", "__import__('os')", "a < b < c", "(" * 1000]
    for text in [*texts, "no(v3)", "sqrt(v3, v3)"]:
        with pytest.raises(BadExpression):
            science.flow().run(text)
    assert len(science.flow().jobs()) == before


def test_an_operation_that_raises(science: Lab) -> None:
    told = reason(science, "v3 ** (v4 - 200)")
    assert "negative integer powers" in told


def test_an_operation_that_loops(science: Lab) -> None:
    stopped = workers_of(science.nodes[1].pid)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        record = science.flow().run("sum(v5 + 1)", within_s=1).wait(JOB_S)
        assert record["state"] == "failed"
        assert "1 s" in record["reason"]
        assert science.value("sum(v5)") == science.arrays["v5"].sum()  # By another.
    finally:
        for pid in stopped:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGCONT)


def test_an_operation_that_eats_memory(science: Lab) -> None:
    path = save(science.cluster.root, "wide", np.ones((1, 60_000_000), np.int8))
    science.flow().add(str(path))
    told = reason(science, "sum(sqrt(wide * 1.0) + exp(wide * 2.0))")
    assert "memory" in told
    path.unlink()


def test_a_worker_that_is_killed_costs_one_try(science: Lab) -> None:
    def kill() -> None:
        for pid in workers_of(science.nodes[1].pid):
            os.kill(pid, signal.SIGKILL)

    job = science.flow().run("mean(sin(v5) + cos(v6) * exp(v7))")
    kill()
    assert job.wait(JOB_S)["state"] == "done"


def workers_of(peer: int) -> list[int]:
    """The processes that compute for a peer: children of its child."""
    return [leaf for child in children(peer) for leaf in children(child)]


def children(parent: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


# Deaths


def test_4_12_the_next_answer_is_right_with_a_copy(user: Cluster) -> None:
    rows = integers(4)
    made = lab(user, [{}, {"twice": rows}, {"twice": rows}, {"once": integers(5)}])
    parts = made.flow().dataset("twice")["parts"]
    assert [len(part["holders"]) for part in parts] == [2]
    assert made.value("sum(twice)") == rows.sum()
    made.nodes[1].kill()
    made.nodes[1] = made.nodes[2]
    assert made.value("sum(twice)") == rows.sum()
    once = made.nodes[3]
    once.kill()
    alive = made.nodes[:3]
    wait_until(lambda: all_see(alive, [once.name], "dead"), 10, "its death")
    record = made.run("sum(once)")
    assert record["state"] == "failed"
    assert once.name in record["reason"]
    assert "once" in record["reason"]


def test_4_12_a_job_whose_driver_dies_ends_everywhere_alike(user: Cluster) -> None:
    rows = integers(6, 3_000_000)
    made = lab(user, [{}, {"big": rows}, {"big": rows}])
    text = "mean(sin(cos(sin(big * 1.5))) ** 2)"
    first = made.flow().run(text).wait(JOB_S)
    jobs = [made.flow().run(text) for _ in range(6)]
    driver = next(n for n in made.nodes if n.name == first["driver"])
    driver.kill()
    alive = [n for n in made.nodes if n is not driver]
    for job in jobs:
        record = job.wait(JOB_S)
        assert record["state"] == "done", record["reason"]
        assert record["value"] == first["value"]
        told = [n.client().flow.job(job.id).record for n in alive]
        assert told[0] == told[1]
