"""Datasets as if they were arrays of NumPy. Run `shoal up --detach` first."""

from pathlib import Path
from urllib.request import urlretrieve

import numpy as np

import shoal

net = shoal.connect()
here = Path("example-data").resolve()
here.mkdir(exist_ok=True)
for number, name in enumerate(("wind_x", "wind_y")):
    np.save(here / f"{name}.npy", np.random.default_rng(number).normal(0, 4, 100_000))
    net.flow.add(str(here / f"{name}.npy"), replace=True)

speed = np.sqrt(net["wind_x"] ** 2 + net["wind_y"] ** 2)
print(f"{speed} is an expression: nothing has been computed")
print(f"its mean is {float(speed.mean()):.3f}, its greatest {speed.max().number():.3f}")
print(f"{100 * float((speed > 8).mean()):.1f} % of the time it was a gale")

result = speed.result()  # Rows of its own, which stay in the network.
print(f"{result} has a mean, too: {float(result.mean()):.3f}")
rows = np.asarray(result)  # All of them, here.
print(f"{rows.size:,} rows are here, the first {rows[0]:.3f}")

# Any program reads a dataset by its URL, and any part of it by a range.
urlretrieve(f"http://{net.address}/datasets/{result.name}", here / "speed.npy")
print(f"the same in a file: {np.load(here / 'speed.npy', mmap_mode='r')[0]:.3f}")
