"""What cannot be computed fails by name, soon, and harms nobody else."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shoal.errors import (
    BadExpression,
    Misuse,
    NotFound,
    ShoalError,
    UnreadableFile,
)
from tests.end_to_end.cluster import Cluster, all_see, wait_until
from tests.end_to_end.science import JOB_S, Lab, integers, lab, save


@pytest.fixture(scope="module")
def science(sharer: Cluster) -> Lab:
    """Files to be hurt, at a peer that is not asked."""
    victims = {f"v{n}": integers(n, 100_000) for n in range(9)}
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


def test_a_file_that_was_changed_is_not_given_away(science: Lab) -> None:
    larger = np.ones(100_000, complex)
    science.flow().add(str(save(science.cluster.root / "data0", "larger", larger)))
    np.save(file(science, "v8"), integers(78, 100_000))
    for n in (0, 1):  # From afar, and from its holder.
        with pytest.raises(ShoalError, match="v8"):
            science.flow(n).array("v8")
    assert reason(science, "larger + v8")


def test_a_folder_whose_files_differ_names_two_of_them(science: Lab) -> None:
    folder = save(science.cluster.root / "mixed", "a", np.arange(3)).parent
    save(folder, "b", np.arange(3.0))
    with pytest.raises(Misuse, match=r"a\.npy has rows of int64 and b\.npy of float64"):
        science.flow().add(str(folder))


def test_an_equal_file_that_is_changed_costs_the_other_nothing(science: Lab) -> None:
    flow, rows = science.flow(1), integers(80, 1000)
    for name in ("one", "equal"):
        where = save(science.cluster.root / "data1", name, rows)
        flow.add(str(where))
    np.save(where, integers(81, 1000))
    assert science.value("sum(one)") == rows.sum()
    flow.add(str(where), replace=True)
    assert science.value("sum(one)") == rows.sum()
    assert science.value("sum(equal)") == integers(81, 1000).sum()


def test_equal_files_of_one_folder_are_two_parts(science: Lab) -> None:
    folder = science.cluster.root / "detectors"
    for name in ("a", "b"):
        save(folder, name, np.zeros(1000))
    save(folder, "c", np.ones(1000))
    for _ in range(2):
        added = science.flow().add(str(folder))
        assert [part["name"] for part in added["parts"]] == ["a.npy", "b.npy", "c.npy"]
    assert science.value("sum(detectors)") == 1000
    assert science.value("mean(detectors)") == pytest.approx(1 / 3)


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
    with pytest.raises(NotFound, match=r"did you mean good\?"):
        science.flow().dataset("godo")


def test_the_beginning_of_an_id_is_no_name_by_chance(science: Lab) -> None:
    name = science.flow().dataset("good")["id"]
    assert science.flow().dataset(name[:8])["id"] == name
    assert "there is none" in reason(science, f"mean({name[:3]})")
    job = science.run("sum(good)")["id"]
    assert science.flow().job(job[:6]).id == job


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
    gone = made.nodes[1]
    gone.kill()
    made.nodes[1] = made.nodes[2]
    assert made.value("sum(twice)") == rows.sum()
    # Without two of four, half of the records would have no majority.
    user.restart(gone)
    once = made.nodes[3]
    user.ask("wait", "--replicated", "--timeout", "30")
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
