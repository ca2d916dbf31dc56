"""One operation on two datasets at two peers. First: shoal up --peers 2 --detach.

Is each number odd, here 1 and there 1, and how many of the two are? Each peer makes a
byte a number of its own; only those of one peer move.
"""

from pathlib import Path

import numpy as np

import shoal

net = shoal.connect()
here = Path("example-data").resolve()
here.mkdir(exist_ok=True)

alive = [each for each in net.members() if each["state"] == "alive"]
arrays = {}
for name, member in (("DS1", alive[0]), ("DS2", alive[-1])):
    arrays[name] = np.random.default_rng(len(arrays)).integers(1, 101, 1_000_000)
    np.save(here / f"{name}.npy", arrays[name])
    shoal.connect(member["address"]).flow.add(str(here / f"{name}.npy"), replace=True)

job = net.run("real2bin(DS1, DS2)")
print(f"job {job.id} is {job.state}")
record = job.wait(30)
for line in record["plan"]["why"]:
    print(f"  {line}")
rows = np.asarray(job.result())  # The result stays in the network; this is a copy.
right = np.array_equal(rows, arrays["DS1"] % 2 + arrays["DS2"] % 2)
print(f"dataset {record['dataset']} is {'right' if right else 'wrong'}")
print(f"0, 1 and 2 are there {np.bincount(rows)} times")
