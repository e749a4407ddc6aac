"""What people read of orgserver: the README, and the pages of docs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCS = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}

FOR_CONTRIBUTORS = {"architecture", "clients", "conformance", "performance", "stand-ins"}
MANUAL = "\n".join([README, *(text for name, text in DOCS.items() if name not in FOR_CONTRIBUTORS)])

_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")


def find_code(text: str) -> list[str]:
    """What stands in blocks and spans of code."""
    return _FENCED.findall(text) + _INLINE.findall(_FENCED.sub("", text))


def find_links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", _FENCED.sub("", text))


def find_anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
