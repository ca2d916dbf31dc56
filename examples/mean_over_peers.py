"""A mean of rows at all peers of this machine. First: shoal up --peers 3 --detach."""

import time
from pathlib import Path

import numpy as np

import shoal

net = shoal.connect()
here = Path("example-data").resolve()
here.mkdir(exist_ok=True)

pieces = []
alive = [each for each in net.members() if each["state"] == "alive"]
for number, member in enumerate(alive):
    rain = np.random.default_rng(number).gamma(2, 3, 100_000)
    np.save(here / f"rain-{number}.npy", rain)
    peer = shoal.connect(member["address"])
    told = peer.flow.add(str(here / f"rain-{number}.npy"), name="rain", replace=True)
    pieces.append(rain)

while net.flow.dataset("rain")["version"] < told["version"]:
    time.sleep(0.05)  # What was told to another peer is on its way to ours.

record = net.run("mean(rain)").wait(30)
print(f"mean(rain) = {record['value']}, says the network")
print(f"             {np.concatenate(pieces).mean()}, says NumPy")
for sub in record["subs"]:
    print(f"  {sub['about']} at {sub['executor']}: {sub['duration_s']:.4f} s")
print(f"moved {record['moved_bytes']} bytes, not {record['plan']['copying_bytes']}")
