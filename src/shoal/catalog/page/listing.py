"""The page of all records: five hundred at a time, in any order, with sums by type.

The catalog makes all of it; a script only asks again for what the address says. So what
the page can do, it does without a script too, and there is one way to sort.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from sys import getsizeof

from msgspec.structs import replace

from shoal.catalog.answers import Answer
from shoal.catalog.messages import Entry
from shoal.catalog.page.columns import COLUMNS, HEARD, NAME, card_of, cell
from shoal.catalog.page.frame import Moment, exactly, framed, text, to_detail
from shoal.catalog.page.selection import (
    STRIDE,
    Sum,
    chosen,
    ordered,
    summed,
)
from shoal.catalog.page.view import MAX_TEXT, View, address
from shoal.catalog.words import ago

# More than anybody reads, and a telephone lays them out at once.
PAGE_ROWS = 500

# Usual rows take half of it, and all that can be kept 25 MB.
MAX_ROW_BYTES = 1000

# Types are a dozen, unless somebody plays: then these are the most frequent.
MAX_TYPES = 100
MAX_SUMS = 12

_FORMS = (("text", "text"), ("json", "json"), ("newclassads", "classads"))


def listing(
    view: View, entries: Sequence[Entry], moment: Moment
) -> Generator[None, None, Answer]:
    """The page, step by step. The records come by name."""
    types = Counter(entry.type for entry in entries)
    some = yield from chosen(view, entries)
    sums = yield from summed(some)
    some = yield from ordered(view, some)
    last = max(1, -(-len(some) // PAGE_ROWS))
    view = replace(view, page=min(view.page, last))
    begin = (view.page - 1) * PAGE_ROWS
    rows = yield from _rows(some[begin : begin + PAGE_ROWS], moment)
    body = (
        f"{_forms(moment)}{_form(view, types, moment)}"
        f'<div id="table"><table>\n'
        f'<caption id="count">{_caption(view, len(some), len(entries))}</caption>\n'
        f'<thead id="heads">{_heads(view, moment)}</thead>\n'
        f'<tbody id="rows">\n{rows}</tbody>\n'
        f'<tfoot id="sums">\n{_foot(sums)}</tfoot>\n</table></div>\n'
        f'<nav id="pages" aria-label="Pages">{_pages(view, last, moment)}</nav>\n'
    )
    return framed("catalog server", body, moment)


def _forms(moment: Moment) -> str:
    told = "<header><h1>Catalog</h1>\n<p>all records as"
    for form, name in _FORMS:
        told += f' <a href="{moment.base}/query.{form}">{name}</a>'
    return f"{told}</p></header>\n"


def _form(view: View, types: Counter[str], moment: Moment) -> str:
    """The type and the text to look for; the order stays as it is."""
    offered = sorted(kind for kind, _ in types.most_common(MAX_TYPES) if kind)
    if view.type and view.type not in offered:
        offered.insert(0, view.type)
    options = "".join(
        f'<option value="{exactly(kind)}"{" selected" * (kind == view.type)}>'
        f"{text(kind)} ({types[kind]:,})</option>"
        for kind in offered
    )
    return (
        f'<form action="{moment.base}/" role="search">\n'
        f'<input type="hidden" name="sort" value="{view.order()}">\n'
        '<label>Type <select name="type" id="types">'
        f'<option value="">all</option>{options}</select></label>\n'
        '<label>Filter <input type="search" name="filter" autocomplete="off" '
        f'maxlength="{MAX_TEXT}" placeholder="any text of a record" '
        f'value="{exactly(view.filter)}"></label>\n'
        "<button>Show</button>\n</form>\n"
    )


def _caption(view: View, found: int, known: int) -> str:
    if found == 0:
        return "No record says that." if known else "Nobody has announced anything."
    begin = (view.page - 1) * PAGE_ROWS
    shown = f"{begin + 1:,} to {min(begin + PAGE_ROWS, found):,} of "
    of_all = f", out of {known:,}" if found < known else ""
    return f"{shown if found > PAGE_ROWS else ''}{_counted(found)}{of_all}"


def _counted(count: int) -> str:
    return f"{count:,} record{'s' * (count != 1)}"


def _heads(view: View, moment: Moment) -> str:
    """A column's title sorts by it, and again the other way round."""
    cells = []
    for column in COLUMNS:
        is_sorted = column.name == view.sort
        down = not view.down if is_sorted else column.written is not None
        way = "descending" if view.down else "ascending"
        aria = f' aria-sort="{way}"' if is_sorted else ""
        query = address(view, sort=column.name, down=down, page=1)
        cells.append(
            f'<th scope="col"{aria}><a id="by-{column.name}" '
            f'href="{moment.base}/{exactly(query)}">{column.title}</a>'
        )
    return f"<tr>{''.join(cells)}"


def _rows(entries: Sequence[Entry], moment: Moment) -> Generator[None, None, str]:
    rows = []
    for number, entry in enumerate(entries):
        if number % STRIDE == 0:
            yield
        since = ago(moment.now - entry.heard)
        rows.append(
            f'{_row(entry, moment)}<td><data value="{entry.heard}">{since}</data>\n'
        )
    return "".join(rows)


def _row(entry: Entry, moment: Moment) -> str:
    """A record, but for when it was heard; made once, unless it is long."""
    card = card_of(entry)
    if card.row:
        return card.row
    cells = [text(cell(value, n)) for n, value in enumerate(card.values)]
    link = f'<a href="{to_detail(entry.key, moment)}">{cells[NAME]}</a>'
    row = (
        f'<tr><td>{cells[0]}<th scope="row">{link}<td>{"<td>".join(cells[NAME + 1 :])}'
    )
    if getsizeof(row) <= MAX_ROW_BYTES:
        card.row = row
    return row


def _foot(sums: dict[str, Sum]) -> str:
    """A row for each type, the most frequent first, and one for all together."""
    whole, others = Sum(), Sum()
    ranked = sorted(sums.items(), key=lambda it: (-it[1].count, it[0]))
    for place, (_, each) in enumerate(ranked):
        whole.add(each.count, each.amounts)
        if place >= MAX_SUMS:
            others.add(each.count, each.amounts)
    rows = [_sum_row(kind or "without type", each) for kind, each in ranked[:MAX_SUMS]]
    if others.count:
        rows.append(_sum_row("other types", others))
    if len(rows) > 1:
        rows.append(_sum_row("all types", whole))
    return "".join(rows)


def _sum_row(kind: str, total: Sum) -> str:
    cells = [cell(total.amounts.get(place), place) for place in range(HEARD + 1)]
    cells[NAME] = _counted(total.count)
    rest = "".join(f"<td>{each}" for each in cells[NAME:])
    return f'<tr><th scope="row">{text(kind)}{rest}\n'


def _pages(view: View, last: int, moment: Moment) -> str:
    if last == 1:
        return ""
    steps = (
        ("First", 1, view.page > 1),
        ("Previous", view.page - 1, view.page > 1),
        ("Next", view.page + 1, view.page < last),
        ("Last", last, view.page < last),
    )
    links = [
        f'<a id="{name.lower()}" href="{moment.base}/'
        f'{exactly(address(view, page=number))}">{name}</a>'
        for name, number, is_there in steps
        if is_there
    ]
    return f"<span>Page {view.page:,} of {last:,}</span> {' '.join(links)}"
