"""redis-py with hiredis, as its manual has it: one connection, a pipeline, a pool."""

import asyncio
import sys
import time

import redis
import redis.asyncio

from bench.comparison import obey

VALUE = b"v" * 100


class Rival:
    """Each deed as often as told; how long it took."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._client = redis.Redis(port=port)
        self._client.set("k", VALUE)

    def get(self, count: int) -> float:
        """One after the other."""
        get = self._client.get
        begun = time.perf_counter()
        for _ in range(count):
            get("k")
        return time.perf_counter() - begun

    def put(self, count: int) -> float:
        """One after the other."""
        put = self._client.set
        begun = time.perf_counter()
        for _ in range(count):
            put("k", VALUE)
        return time.perf_counter() - begun

    def get_many(self, count: int) -> float:
        """A hundred keys in one call."""
        keys = [b"k%d" % number for number in range(100)]
        begun = time.perf_counter()
        for _ in range(count // 100):
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.get(key)
            pipeline.execute()
        return time.perf_counter() - begun

    def hundred(self, count: int) -> float:
        """By a hundred coroutines at once."""
        return asyncio.run(self._hundred(count // 100))

    async def _hundred(self, rounds: int) -> float:
        async with redis.asyncio.Redis(port=self._port) as client:

            async def ask(times: int) -> None:
                for _ in range(times):
                    await client.get("k")

            await asyncio.gather(*(ask(1) for _ in range(100)))  # They all connect.
            begun = time.perf_counter()
            await asyncio.gather(*(ask(rounds) for _ in range(100)))
            return time.perf_counter() - begun


if __name__ == "__main__":
    rival = Rival(int(sys.argv[1]))
    obey({name: getattr(rival, name) for name in ("get", "put", "get_many", "hundred")})
