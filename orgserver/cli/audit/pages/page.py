"""What pages for people share: one file with its styles inside, nothing from outside, and strangers' words as text."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files

from orgserver.model.text import escape_text

_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def begin(title: str) -> str:
    """A page up to its header."""
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_CSP}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(title)}</title>",
            f"<style>{files('orgserver.cli').joinpath('report.css').read_text('utf-8')}</style></head><body><main>",
        )
    )


def end(words: str) -> str:
    """The end of a page, with what is said below it."""
    return f'</main><footer class="soft small">{words}</footer></body></html>'


def heads(titles: Sequence[str]) -> str:
    """The head of a table; a title that begins with # is that of numbers."""
    cells = "".join(
        f'<th scope="col" class="number">{title[1:]}</th>' if title[0] == "#" else f'<th scope="col">{title}</th>'
        for title in titles
    )
    return f"<thead><tr>{cells}</tr></thead>"


def table(titles: Sequence[str], rows: Sequence[str]) -> str:
    """A table."""
    return f'<div class="scroll"><table>{heads(titles)}<tbody>{"".join(rows)}</tbody></table></div>'


def text(value: object) -> str:
    """What strangers wrote: nothing of it is markup, and nothing of it is unseen."""
    return "" if value is None else html.escape(escape_text(str(value)))
