"""Jobs and datasets over HTTP: expressions in, records out, rows as `.npy` files."""

import asyncio
import re
from math import isfinite
from typing import Annotated, Any
from urllib.parse import quote, unquote

import msgspec
from aiohttp import hdrs, web
from msgspec import Meta

from shoal.errors import Misuse
from shoal.flow.service import (
    DatasetRecord,
    FlowService,
    JobRecord,
    Question,
    Whole,
    Wish,
    shown,
)
from shoal.web.server import Answer, Web, reply

# Who waits longer asks again: a proxy in between would have given up.
MAX_WAIT_S = 30.0

MAX_BODY_BYTES = 1 << 20

# So many are taken on at once.
MAX_QUESTIONS = 1000
Questions = Annotated[list[Question], Meta(max_length=MAX_QUESTIONS)]

# No file has more bytes than this has digits.
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")


class FlowPages:
    """What a peer shows of flow."""

    def __init__(self, web: Web, flow: FlowService) -> None:
        self._flow = flow
        web.route("POST", "/api/run", self.run)
        web.route("POST", "/api/explain", self.explain)
        web.route("GET", "/api/jobs", self.jobs)
        web.route("GET", "/api/jobs/*", self.job)
        web.route("GET", "/api/operations", self.operations)
        web.route("GET", "/api/datasets", self.datasets)
        web.route("POST", "/api/datasets", self.add)
        web.route("GET", "/api/datasets/*", self.dataset)
        web.route("GET", "/datasets/*", self.rows)

    # Jobs

    async def run(self, request: web.BaseRequest) -> Answer:
        """Take a job on, or several at once."""
        asked: Question | Questions = await _body(request, Question | Questions)
        if isinstance(asked, Question):
            return reply(told(await self._flow.submit(asked)), status=202)
        jobs = await asyncio.gather(*map(self._flow.submit, asked))
        return reply([told(job) for job in jobs], status=202)

    async def explain(self, request: web.BaseRequest) -> Answer:
        """How an expression would be carried out."""
        plan = await self._flow.explain(await _body(request, Question))
        return reply(msgspec.to_builtins(plan))

    async def jobs(self, request: web.BaseRequest) -> Answer:
        """Every job, or those with a tag."""
        jobs = self._flow.jobs(request.query.get("tag", ""))
        return reply([told(each, plan=False) for each in jobs])

    async def job(self, request: web.BaseRequest) -> Answer:
        """One job; with `wait_s`, when it has ended or that time is over."""
        name = _last(request)
        if "wait_s" in request.query:
            wait_s = min(_number(request, "wait_s"), MAX_WAIT_S)
            return reply(told(await self._flow.wait(name, wait_s)))
        return reply(told(await self._flow.job(name)))

    async def operations(self, _: web.BaseRequest) -> Answer:
        """What can be computed."""
        return reply(self._flow.operations())

    # Datasets

    async def datasets(self, request: web.BaseRequest) -> Answer:
        """Every dataset, or those with a tag."""
        found = self._flow.library.all(request.query.get("tag", ""))
        return reply([self._described(each) for each in found])

    async def dataset(self, request: web.BaseRequest) -> Answer:
        """One dataset."""
        return reply(self._described(await self._flow.dataset(_last(request))))

    async def add(self, request: web.BaseRequest) -> Answer:
        """Publish a file of this peer's machine."""
        record = await self._flow.library.add(await _body(request, Wish))
        return reply(self._described(record))

    async def rows(self, request: web.BaseRequest) -> Answer:
        """A dataset as a `.npy` file, or a range of its bytes."""
        whole = await self._flow.whole(_last(request))
        start, stop, status = _range(request, whole)
        await whole.check()
        headers = {
            hdrs.ACCEPT_RANGES: "bytes",
            hdrs.ETAG: f'"{whole.mark}"',
            hdrs.CONTENT_LENGTH: str(stop - start),
            hdrs.CONTENT_TYPE: "application/octet-stream",
            hdrs.CONTENT_DISPOSITION: "attachment; filename*=UTF-8''"
            + quote(f"{whole.record.name}.npy", safe=""),
        }
        if status == 206:
            headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{stop - 1}/{whole.size_bytes}"
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        try:
            async for piece in whole.read(start, stop):
                await response.write(piece)
        except whole.BREAKS:
            if request.transport:  # Too late to say why.
                request.transport.abort()
        return response

    def _described(self, record: DatasetRecord) -> dict[str, Any]:
        return self._flow.described(record)


def told(job: JobRecord, *, plan: bool = True) -> dict[str, Any]:
    """A job, as JSON tells it."""
    found: dict[str, Any] = msgspec.to_builtins(job)
    found["sub_op_count"] = len(job.subs)
    found["value"] = _plain(job.value.value) if job.value else None
    if job.dataset and job.plan and job.plan.steps:  # Of thousands none are kept.
        pieces = frozenset(job.plan.pieces)
        found["rows"] = sum(e.rows for e in job.plan.steps if e.number in pieces)
        found["type"] = shown(job.plan.form)
    if not plan:
        del found["plan"]
    return found


def _plain(value: float) -> float | str:
    """A number of JSON, which has no word for some."""
    return value if isfinite(value) else str(value)


async def _body(request: web.BaseRequest, kind: Any) -> Any:  # noqa: ANN401
    body = b""
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise Misuse(f"request: more than {MAX_BODY_BYTES} bytes; send less")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise Misuse(f"request: {error}; see the names and types it takes") from error


def _last(request: web.BaseRequest) -> str:
    """The name at the path's end, which may have a / of its own, as %2F."""
    return unquote(request.rel_url.raw_path.rpartition("/")[2])


def _number(request: web.BaseRequest, name: str) -> float:
    try:
        return max(0.0, float(request.query[name]))
    except ValueError:
        raise Misuse(f"{name}: it is a number of seconds; correct it") from None


def _range(request: web.BaseRequest, whole: Whole) -> tuple[int, int, int]:
    """From where to where, and the status that says so."""
    size = whole.size_bytes
    found = _RANGE.match(request.headers.get(hdrs.RANGE, ""))
    condition = request.headers.get(hdrs.IF_RANGE, f'"{whole.mark}"')
    if not found or found.groups() == ("", "") or condition != f'"{whole.mark}"':
        return 0, size, 200
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    if start >= stop:
        raise web.HTTPRequestRangeNotSatisfiable(
            headers={hdrs.CONTENT_RANGE: f"bytes */{size}"}
        )
    return start, stop, 206
