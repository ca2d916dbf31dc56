"""A hundred workers at once. Run `shoal up --detach` first."""

import asyncio
import time

import shoal

WORKERS, ROUNDS = 100, 20


async def work(table: shoal.AsyncTable, number: int) -> None:
    for each in range(ROUNDS):
        await table.put(f"work-{number}-{each}", f"done by {number}")


async def main() -> None:
    async with shoal.open() as net:
        begun = time.monotonic()
        await asyncio.gather(*(work(net.table, number) for number in range(WORKERS)))
        seconds = time.monotonic() - begun
        keys = [f"work-{n}-{m}" for n in range(WORKERS) for m in range(ROUNDS)]
        found = await net.table.get_many(keys)
        print(f"{sum(each is not None for each in found)} of {len(keys)} are there")
        print(f"{len(keys) / seconds:,.0f} puts a second, all of them safe")
        await net.table.delete_many(keys)


asyncio.run(main())
