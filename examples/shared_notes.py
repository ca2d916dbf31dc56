"""Notes that everybody adds to and nobody overwrites. First: shoal up --detach."""

import sys
import time

import shoal

net = shoal.connect()
notes = net.table.json
text = " ".join(sys.argv[1:]) or "the sensor on the roof is wet"
note = {"text": text, "at": time.time(), "by": net.status()["name"]}

number = 1
while not notes.put(f"note-{number}", note, if_absent=True):
    number += 1  # Somebody has that number already; the next may be free.

for each in notes.get_many(f"note-{n}" for n in range(1, number + 1)):
    at = time.strftime("%H:%M", time.localtime(each["at"]))
    print(f"{at} {each['by']}: {each['text']}")
