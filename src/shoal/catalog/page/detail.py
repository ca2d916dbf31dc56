"""The page of one record: all that it says, and when it last said so."""

from typing import Any

from shoal.catalog.answers import Answer
from shoal.catalog.messages import Entry
from shoal.catalog.page.columns import COLUMNS
from shoal.catalog.page.frame import Moment, framed, text
from shoal.catalog.words import ago, laid_out, plain

_IN_WORDS = {
    each.name: each.written for each in COLUMNS if each.name in ("memory", "disk")
}


def detail(entry: Entry | None, moment: Moment) -> Answer:
    """The page; also when nobody of that key is known, or no more."""
    back = f'<p><a id="back" href="{moment.base}/">← All records</a></p>\n'
    if entry is None:
        gone = (
            '<section id="record"><h1>Unknown Item!</h1>\n<p>No record has this key: '
            "it ended, or there never was one.</p></section>\n"
        )
        return framed("Unknown Item!", back + gone, moment)
    kind = f"<p>{text(entry.type)}</p>\n" if entry.type else ""
    since = ago(moment.now - entry.heard)
    rows = "".join(_row(*each, since=since) for each in entry.fields.items())
    body = (
        f'{back}<section id="record"><h1>{text(entry.name)}</h1>\n{kind}'
        f'<p>Last heard from <data value="{entry.heard}">{since}</data></p>\n'
        f'<table class="fields" aria-label="All that it says">\n'
        f"<tbody>\n{rows}</tbody></table></section>\n"
    )
    return framed(entry.name, body, moment)


def _row(name: str, value: Any, *, since: str) -> str:  # noqa: ANN401 - any JSON.
    if isinstance(value, list | dict) and value:
        shown = f"<pre>{_text_of_lines(laid_out(value))}</pre>"
    else:
        shown = text(plain(value))
    if name == "lastheardfrom":
        shown += f' <small><data value="{value}">{since}</data></small>'
    elif (written := _IN_WORDS.get(name)) and type(value) in (int, float):
        shown += f" <small>{text(written(value))}</small>"
    return f'<tr><th scope="row">{text(name)}<td>{shown}\n'


def _text_of_lines(said: str) -> str:
    """Several lines, each of which is a text."""
    return "\n".join(map(text, said.split("\n")))
