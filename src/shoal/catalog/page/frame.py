"""What every page for people begins with, and which moment it shows.

Whatever a record says passes `text`, as a word and as an attribute in quotes alike.
"""

import html
from urllib.parse import quote

from msgspec import Struct

from shoal.catalog.answers import PAGE, Answer
from shoal.catalog.words import visible

SCRIPT_PATH, STYLE_PATH = "/page.js", "/page.css"


class Moment(Struct, frozen=True):
    """When it is, and if that is long ago, under which path and by which name."""

    now: int
    tag: str = ""  # Of what is shown: the same one, and nothing has changed.
    base: str = ""
    date: str = ""


def text(said: str) -> str:
    """A text in a page: it cannot be anything else there."""
    return html.escape(visible(said))


def exactly(said: str) -> str:
    """A text in an attribute that must come back as it was."""
    return html.escape(said)


def to_detail(key: str, moment: Moment) -> str:
    """Where a record has its own page."""
    return html.escape(f"{moment.base}/detail/{quote(key, errors='replace')}")


def framed(title: str, body: str, moment: Moment) -> Answer:
    """A whole page; one about the past cannot change, and needs no script.

    Its tag is for the script alone: a browser that had it would show an old page, and
    "2 s ago" of an hour ago.
    """
    script = "" if moment.date else f'<script src="{SCRIPT_PATH}" defer></script>\n'
    past = f'<p class="past">As it was on {moment.date}.</p>\n' if moment.date else ""
    whole = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n"
        f'<link rel="stylesheet" href="{STYLE_PATH}">\n{script}'
        f'<main data-now="{moment.now}" data-tag="{moment.tag}">\n{past}{body}'
        '</main>\n<p id="state" role="status"></p>\n'
    )
    return Answer(whole.encode(errors="replace"), PAGE)
