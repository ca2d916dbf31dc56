"""Expressions over datasets of several peers, asked of one that has none of them."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from shoal.errors import Missing, Misuse
from tests.end_to_end.cluster import Cluster, wait_until
from tests.end_to_end.science import JOB_S, Lab, integers, lab, save

ENDED = ("done", "failed")


@pytest.fixture(scope="module")
def science(sharer: Cluster) -> Lab:
    """One without data; one with DS1; one with DS2, which is smaller; and more."""
    return lab(
        sharer,
        [
            {},
            {"DS1": integers(1), "wide": np.linspace(0, 1, 100_000)},
            {"DS2": integers(2).astype(np.int32), "DS3": integers(3)},
        ],
    )


def test_4_1_an_operation_travels_to_its_data(science: Lab) -> None:
    before = time.monotonic()
    job = science.flow(2).run("real2bin(DS1)")
    took = time.monotonic() - before
    assert took < 1  # Ten times the bound.
    record = job.wait(JOB_S)
    assert record["state"] == "done"
    [sub] = record["subs"]
    assert sub["executor"] == science.nodes[1].name
    assert record["moved_bytes"] < 10_000
    [part] = science.flow(0).dataset(record["dataset"])["parts"]
    assert part["holders"] == [science.nodes[1].name]


def test_4_2_real2bin_is_each_element_mod_2(science: Lab) -> None:
    rows = science.rows(science.run("real2bin(DS1)"))
    assert np.array_equal(rows, science.arrays["DS1"] % 2)
    assert rows.size == science.arrays["DS1"].size
    again = science.flow().array("DS1")
    assert np.array_equal(again, science.arrays["DS1"])


def test_4_3_use_case_2_is_right(science: Lab) -> None:
    record = science.run("real2bin(DS1, DS2)")
    rows = science.rows(record)
    assert np.array_equal(rows, science.arrays["DS1"] % 2 + science.arrays["DS2"] % 2)
    assert set(np.unique(rows)) == {0, 1, 2}
    # One byte an element, and what orders take.
    assert 1_000_000 <= record["moved_bytes"] < 1_010_000


def test_4_4_a_mother_and_two_subs_are_the_same_at_every_peer(science: Lab) -> None:
    record = science.run("real2bin(DS1, DS2)")
    assert record["sub_op_count"] == len(record["subs"]) == 2
    assert {each["about"] for each in record["subs"]} == {
        "real2bin(DS1)",
        "real2bin(DS2)",
    }
    assert all(each["id"].startswith(f"s{record['id'][1:]}") for each in record["subs"])

    def same() -> bool:
        lists = [science.flow(n).jobs() for n in range(3)]
        return lists[0] == lists[1] == lists[2] and len(lists[0]) > 0

    wait_until(same, 10, "every peer to list the same jobs")


def test_4_5_any_peer_answers_the_same(science: Lab) -> None:
    name = science.run("mean(DS1)")["id"]
    told = [science.flow(n).job(name).record for n in range(3)]
    assert told[0] == told[1] == told[2]
    assert science.flow(1).job(name[:8]).id == name


def test_4_6_the_collector_holds_the_larger_one_or_any(science: Lab) -> None:
    assert science.run("real2bin(DS1, DS2)")["driver"] == science.nodes[1].name
    assert science.run("real2bin(DS2, DS1)")["driver"] == science.nodes[1].name
    drivers = {
        science.run("real2bin(DS1, DS2)", collect="random")["driver"] for _ in range(12)
    }
    assert drivers == {science.nodes[1].name, science.nodes[2].name}


def test_4_7_each_mother_is_collected_once(science: Lab) -> None:
    flow = science.flow()
    jobs = [flow.run("real2bin(DS1, DS2)", tags=["often"]) for _ in range(100)]
    records = [job.wait(JOB_S) for job in jobs]
    assert all(each["state"] == "done" for each in records)
    datasets = [each["dataset"] for each in records]
    assert len(set(datasets)) == 100

    def listed() -> bool:
        found = [e["id"] for e in flow.datasets("often")]
        return sorted(found) == sorted(datasets)

    wait_until(listed, 10, "one result each")


def test_4_10_one_peer_alone_computes(user: Cluster) -> None:
    alone = lab(user, [{"mine": integers(7, 1000)}])
    record = alone.run("real2bin(mine)")
    assert np.array_equal(alone.rows(record), alone.arrays["mine"] % 2)
    assert alone.value("sum(mine)") == alone.arrays["mine"].sum()
    assert record["moved_bytes"] == 0


def test_use_cases_1_and_2_on_two_peers(user: Cluster) -> None:
    both = lab(user, [{}, {"A": integers(8), "B": integers(9)}])
    odd = {name: both.arrays[name] % 2 for name in "AB"}
    assert np.array_equal(both.rows(both.run("real2bin(A)")), odd["A"])
    record = both.run("real2bin(A, B)")
    assert np.array_equal(both.rows(record), odd["A"] + odd["B"])
    assert record["sub_op_count"] == 2
    assert record["moved_bytes"] < 10_000


def test_4_11_an_unknown_dataset_fails_by_name(science: Lab) -> None:
    record = science.run("real2bin(nobody)")
    assert record["state"] == "failed"
    assert "nobody" in record["reason"]
    assert science.flow(1).job(record["id"]).state == "failed"


def test_4_14_a_tag_finds_the_result(science: Lab) -> None:
    record = science.run("real2bin(DS1)", tags=["first", "odd ones"])
    [found] = science.flow().jobs("odd ones")
    assert found["dataset"] == record["dataset"]
    wait_until(lambda: science.flow(2).datasets("odd ones"), 10, "the tag to be known")
    [dataset] = science.flow(2).datasets("odd ones")
    assert dataset["id"] == record["dataset"]
    assert science.value('sum(tag("odd ones"))', 2) == (science.arrays["DS1"] % 2).sum()


def test_a_tag_finds_a_number_too(science: Lab) -> None:
    science.run("sum(DS1)", tags=["total"])
    wait_until(lambda: science.flow(2).jobs("total"), 10, "the tag to be known")
    assert science.value('tag("total") * 2', 2) == 2 * science.arrays["DS1"].sum()
    assert "none" in science.run('tag("nobody\'s")')["reason"]


def test_what_was_added_is_known_to_all_at_once(science: Lab) -> None:
    for n in range(5):
        path = save(science.cluster.root / "more", f"grown-{n}", np.arange(n, n + 3))
        science.flow(n % 3).add(str(path), name="grown")
        assert science.value("sum(grown)", (n + 1) % 3) == sum(
            3 * k + 3 for k in range(n + 1)
        )


def test_a_dataset_that_lacks_a_part_is_not_computed_with(science: Lab) -> None:
    paths = [
        save(science.cluster.root / "thirds", f"third-{n}", np.arange(n, n + 2))
        for n in range(3)
    ]

    def add(n: int, **wish: int) -> None:
        science.flow(n).add(str(paths[n]), name="thirds", place=n, **wish)

    add(0, expected=3)
    add(2, expected=3)
    record = science.run("sum(thirds)")
    assert record["state"] == "failed"
    assert "part 2 of 3" in record["reason"]
    with pytest.raises(Missing, match="part 2 of 3"):
        science.flow().array("thirds")
    with pytest.raises(Misuse, match="3 parts"):
        add(1, expected=4)
    add(1)
    assert science.value("sum(thirds)") == 1 + 3 + 5


def test_4_15_a_million_numbers_move_as_a_stream(science: Lab) -> None:
    record = science.run("DS1 + DS2")
    expected = science.arrays["DS1"] + science.arrays["DS2"]
    assert np.array_equal(science.rows(record), expected)
    assert 4_000_000 <= record["moved_bytes"] < 4_010_000  # The smaller one.
    assert record["duration_s"] < 20  # Ten times the bound.


def test_4_16_a_job_only_goes_forward(science: Lab) -> None:
    job = science.flow().run("mean(sqrt(DS1) + DS2)")
    seen = [job.state]
    while seen[-1] not in ENDED:
        seen.append(job.look(0.01)["state"])
    order = {"init": 0, "active": 1, "done": 2, "failed": 2}
    assert [order[each] for each in seen] == sorted(order[each] for each in seen)
    assert seen[0] == "init"
    for n in range(3):
        assert science.flow(n).job(job.id).state == seen[-1] == "done"


def test_4_17_a_record_says_what_when_and_what_came_of_it(science: Lab) -> None:
    before = time.time()
    record = science.run("real2bin(DS1)")
    assert before - 1 < record["submitted"] < time.time() + 1
    assert 0 < record["duration_s"] < JOB_S
    assert re.fullmatch("d[a-z2-7]{12}", record["dataset"])
    assert [name for name, _, _ in record["inputs"]] == ["DS1"]
    assert record["expression"] == "real2bin(DS1)"
    assert record["asked"] == science.nodes[0].name


def test_4_19_the_sum_over_three_has_a_sub_each(science: Lab) -> None:
    record = science.run("real2bin(DS1, DS2, DS3)")
    expected = sum(science.arrays[each] % 2 for each in ("DS1", "DS2", "DS3"))
    assert np.array_equal(science.rows(record), expected)
    assert [each["about"] for each in record["subs"]] == [
        f"real2bin({each})" for each in ("DS1", "DS2", "DS3")
    ]


def test_a_name_may_have_a_slash(science: Lab) -> None:
    path = science.cluster.root / "data1" / "wide.npy"
    science.flow(1).add(str(path), name="exp-1/2")
    assert science.flow(2).dataset("exp-1/2")["name"] == "exp-1/2"
    assert np.array_equal(science.flow(2).array("exp-1/2"), science.arrays["wide"])
    total = science.value('sum(ds("exp-1/2"))')
    assert total == pytest.approx(science.arrays["wide"].sum())


def test_reductions_move_next_to_nothing(science: Lab) -> None:
    for name in ("sum", "mean", "min", "max"):
        record = science.run(f"{name}(DS1)")
        assert record["value"] == pytest.approx(getattr(science.arrays["DS1"], name)())
        assert record["moved_bytes"] <= 2000


def test_a_thousand_small_jobs_all_end(science: Lab) -> None:
    def ask(n: int) -> float:
        return float(science.value(f"sum(wide) + {n}", n % 3))

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(ask, range(200)))
    total = science.arrays["wide"].sum()
    assert values == pytest.approx([total + n for n in range(200)])


def test_4_8_two_peers_that_need_each_other_block_nobody(science: Lab) -> None:
    def ask(n: int) -> str:
        text = "DS1 + DS2" if n % 2 else "DS2 + DS1"
        record = science.run(text, 1 + n % 2, collect="random")
        return str(record["state"])

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(100))) == {"done"}


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Six with data, and a dataset in parts on all of them."""
    cluster = Cluster(tmp_path_factory.mktemp("home"))
    whole = integers(5)
    pieces = np.array_split(whole, 6)
    held = [{f"A{n}": integers(n), "temps": piece} for n, piece in enumerate(pieces)]
    made = lab(cluster, [{}, *held, {}], "--workers", "1")
    made.arrays["temps"] = whole
    yield made
    cluster.stop()


def test_use_cases_1_and_2_on_eight_peers(eight: Lab) -> None:
    record = eight.run("real2bin(A3)", 7)
    assert np.array_equal(eight.rows(record), eight.arrays["A3"] % 2)
    names = [f"A{n}" for n in range(6)]
    record = eight.run(f"real2bin({', '.join(names)})", 7)
    assert np.array_equal(eight.rows(record), sum(eight.arrays[n] % 2 for n in names))
    assert record["sub_op_count"] == 6


def test_parts_on_six_peers_are_one_dataset(eight: Lab) -> None:
    wait_until(lambda: len(eight.flow().dataset("temps")["parts"]) == 6, 10, "parts")
    # Equal names: in the order of the peers.
    parts = eight.flow().dataset("temps")["parts"]
    assert [p["holders"][0] for p in parts] == sorted(p["holders"][0] for p in parts)
    record = eight.run("mean(temps)")
    assert record["value"] == pytest.approx(eight.arrays["temps"].mean())
    assert record["moved_bytes"] < 2000 * 6
    rows = eight.rows(eight.run("temps * 2"))
    assert np.array_equal(np.sort(rows), np.sort(eight.arrays["temps"] * 2))
