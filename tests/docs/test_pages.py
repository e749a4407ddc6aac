"""Every page says first what it is for, and its links lead to files and headings that are there."""

import re

import pytest

from tests.docs.pages import DOCS, ROOT, find_anchors, find_links

PAGES = ["README.md", "SECURITY.md", *(f"docs/{name}.md" for name in DOCS)]


@pytest.mark.parametrize("name", list(DOCS))
def test_a_page_begins_with_one_sentence(name: str) -> None:
    title, sentence = DOCS[name].split("\n\n")[:2]

    assert re.fullmatch(r"# [^\n]+", title)
    assert re.fullmatch(r"[A-Z][^\n]+\.", sentence)
    assert ". " not in sentence


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    lost = [link for link in find_links((ROOT / name).read_text("utf-8")) if not _leads_somewhere(name, link)]

    assert lost == []


def _leads_somewhere(page: str, link: str) -> bool:
    if link.startswith("https://"):
        return True
    path, _, anchor = link.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    return file.exists() and (not anchor or anchor in find_anchors(file.read_text("utf-8")))
