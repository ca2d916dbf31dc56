"""shoal run, jobs, result, why, operations: expressions, and what became of them."""

import getpass
import sys
import time
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from shoal.cli import jobs_in_words as words
from shoal.cli import which
from shoal.cli.options import ANY, PeerOptions
from shoal.cli.outcome import FAILED, show
from shoal.client.jobs import Flow, Job

QUIET = Parameter(name=["--quiet", "-q"])
WITHIN = Parameter(name="--within", validator=validators.Number(gt=0))


def run(
    expression: str,
    /,
    *,
    tag: tuple[str, ...] = (),
    collect: Literal["largest", "random"] = "largest",
    within: Annotated[float | None, WITHIN] = None,
    detach: bool = False,
    explain: bool = False,
    quiet: Annotated[bool, QUIET] = False,
    options: PeerOptions = ANY,
) -> int:
    """Compute an expression of datasets where they lie, and wait for it.

    Parameters
    ----------
    expression
        Such as 'mean(temps)', 'real2bin(a, b)' or 'sqrt(a ** 2 + b ** 2)', in quotes;
        after --, it may begin with a hyphen. A dataset stands there by its name, as
        ds("exp-1/2") if that is no word, or as tag("first") if no other has that tag;
        a job's id is what came of it. What is not a number stays in the network, as a
        dataset: shoal fetch ID. What can be computed: shoal operations.
    tag
        A word to find the job by, and its result if that is rows; may be given several
        times.
    collect
        Who brings it together: the peer that holds the most of the data, or a random
        one that holds some.
    within
        Let it fail after so many seconds; without it, it may take any time.
    detach
        Print the job's id and return at once; ask for it later: shoal result ID.
    explain
        Print how it would be carried out and what would move, and do nothing.
    quiet
        Print the number alone, or the id of the dataset.
    """
    flow = _flow(options)
    if explain:
        show(flow.explain(expression), as_json=options.json, people=words.plan)
        return 0
    job = flow.run(
        expression,
        tags=tag,
        user=getpass.getuser(),
        within_s=within or 0.0,
        collect=collect,
    )
    if detach:
        show(job.record if options.json else job.id, as_json=options.json)
        return 0
    return _follow(job, options, quiet=quiet)


def result(
    id: str,  # noqa: A002 - it is one.
    /,
    *,
    quiet: Annotated[bool, QUIET] = False,
    options: PeerOptions = ANY,
) -> int:
    """Wait for a job, however long, and print what it came to.

    Parameters
    ----------
    id
        The job's, or its first letters.
    quiet
        Print the number alone, or the id of the dataset.
    """
    return _follow(_flow(options).job(id), options, quiet=quiet)


def jobs(*, tag: str = "", options: PeerOptions = ANY) -> None:
    """List the jobs of the network, the latest first.

    Parameters
    ----------
    tag
        Only those that were run with this tag.
    """
    show(_flow(options).jobs(tag), as_json=options.json, people=words.listed)


def why(
    id: str,  # noqa: A002
    /,
    *,
    options: PeerOptions = ANY,
) -> None:
    """Say what a job read, did where, moved, and why; or why it failed.

    Parameters
    ----------
    id
        The job's, or its first letters.
    """
    record = _flow(options).job(id).record
    show(record, as_json=options.json, people=words.why)


def operations(*, options: PeerOptions = ANY) -> None:
    """List the operations that an expression may use."""
    show(
        _flow(options).operations(),
        as_json=options.json,
        people=words.operations,
    )


def _flow(options: PeerOptions) -> Flow:
    return which.client(options.timeout, options.project).flow


def _follow(job: Job, options: PeerOptions, *, quiet: bool) -> int:
    """Wait for its end, however long; show how it goes on a terminal."""
    watching = sys.stderr.isatty() and not options.json
    began = time.monotonic()

    def watch(record: dict[str, Any]) -> None:
        if time.monotonic() - began > 1:
            done = sum(each["state"] == "done" for each in record["subs"])
            print(f"\r  {done}/{len(record['subs'])} parts", end="", file=sys.stderr)

    try:
        record = job.wait(watch=watch if watching else None)
    except KeyboardInterrupt:
        later = f"it goes on; ask later: shoal result {job.id}"
        print(f"\nshoal: job {job.id}: {later}", file=sys.stderr)
        raise
    if watching and time.monotonic() - began > 1:
        print("\r\x1b[K", end="", file=sys.stderr)
    people = words.brief if quiet else words.ended
    show(record, as_json=options.json, people=people)
    return FAILED if record["state"] == "failed" else 0
