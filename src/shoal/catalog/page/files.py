"""The script and the style of the pages, as they lie beside this file."""

from pathlib import Path

from shoal.catalog.answers import SCRIPT, STYLE, Answer, tag_of
from shoal.catalog.page.frame import SCRIPT_PATH, STYLE_PATH

_BESIDE = Path(__file__).parent


def parts() -> dict[str, Answer]:
    """What the pages ask for besides themselves, by path."""
    kinds = {SCRIPT_PATH: SCRIPT, STYLE_PATH: STYLE}
    return {path: _answer(path, kind) for path, kind in kinds.items()}


def _answer(path: str, kind: str) -> Answer:
    body = (_BESIDE / path.removeprefix("/")).read_bytes()
    return Answer(body, kind, tag=tag_of(body))
