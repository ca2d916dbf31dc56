"""What `/metrics` tells of jobs: whoever adds all peers up counts each thing once."""

from urllib.request import urlopen

from tests.end_to_end.cluster import Cluster, wait_until
from tests.end_to_end.science import Lab, integers, lab

MOVED = "shoal_flow_moved_bytes_total"
RECEIVED = "shoal_flow_received_bytes_total"
JOBS = 'shoal_flow_jobs_ended_total{state="%s"}'
STEPS = 'shoal_flow_steps_ended_total{state="%s"}'


def told(science: Lab) -> dict[str, float]:
    """The figures of all peers, added up."""
    found: dict[str, float] = {}
    for node in science.nodes:
        with urlopen(f"http://{node.address}/metrics", timeout=5) as page:
            for line in page.read().decode().splitlines():
                if line.startswith("shoal_flow_"):
                    name, value = line.split()
                    found[name] = found.get(name, 0.0) + float(value)
    return found


def test_jobs_steps_and_bytes_are_counted_once(user: Cluster) -> None:
    science = lab(user, [{}, {"DS1": integers(1)}, {"DS2": integers(2)}])
    done = science.run("real2bin(DS1, DS2)")
    assert done["state"] == "done"
    assert science.run("mean(nothing)")["state"] == "failed"
    wait_until(
        lambda: told(science)[JOBS % "done"] + told(science)[JOBS % "failed"] == 2,
        *(10, "both ends to be counted"),
    )
    figures = told(science)
    assert (figures[JOBS % "done"], figures[JOBS % "failed"]) == (1, 1)
    # One of each dataset, and one that adds their results.
    assert (figures[STEPS % "done"], figures[STEPS % "failed"]) == (3, 0)
    assert figures[MOVED] == done["moved_bytes"]
    assert figures[RECEIVED] == 1_000_000
    assert figures["shoal_flow_tasks"] == 0
    science.flow(0).array("DS1")  # By way of a peer that has no rows.
    assert told(science)[RECEIVED] == 9_000_000
    assert told(science)[MOVED] == done["moved_bytes"]
    wait_until(
        lambda: told(science)["shoal_flow_datasets"] == 3 * 3, 10, "all to know them"
    )
