"""Renew the files that say how tools are listed, what commands print and what calls answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from orgserver.cli.configuration import documents

from . import early_answers, files, help_pages, listed_tools, session

DOCS = Path(__file__).parents[2] / "docs"


def renew() -> None:
    """Write each file anew that differs, and remove those of what is gone."""
    documents.write_schema(DOCS)
    early_answers.PATH.write_text(asyncio.run(early_answers.text()), encoding="utf-8")
    printed, answered = asyncio.run(session.texts())
    for folder, texts in (
        (listed_tools.FOLDER, listed_tools.texts()),
        (help_pages.FOLDER, help_pages.texts()),
        (session.COMMANDS, printed),
        (session.CALLS, answered),
    ):
        for line in files.renew(folder, texts):
            print(line)


if __name__ == "__main__":
    renew()
