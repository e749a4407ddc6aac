"""A page as a browser and a screen reader take it: what must be there, and what must not."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

from orgserver.serving.http.replies import Reply

_VOID = {"meta", "link", "input", "br", "hr"}
_FORBIDDEN = {"script", "style", "img", "iframe", "object", "embed", "base", "svg", "video", "audio", "frame"}


@dataclass
class Element:
    """One element."""

    tag: str
    attributes: dict[str, str]
    parents: tuple[str, ...]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """What is in a page, in order."""

    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute of {tag} is there twice"
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(each.tag for each in self._open))
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"{tag} ends, and nothing is open"
        assert self._open[-1].tag == tag, f"{tag} ends inside {self._open[-1].tag}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        """Every element of a kind."""
        return [each for each in self.elements if each.tag == tag]

    def one(self, tag: str) -> Element:
        """The only one of a kind."""
        (element,) = self.all(tag)
        return element

    def texts(self, tag: str) -> list[str]:
        """Their texts, with single blanks."""
        return [" ".join(each.text.split()) for each in self.all(tag)]

    @property
    def fields(self) -> dict[str, str]:
        """What all forms would send, as they stand."""
        return {
            each.attributes["name"]: each.attributes.get("value", "on")
            for each in self.all("input")
            if each.attributes.get("type") != "checkbox" or "checked" in each.attributes
        }


def read_page(body: bytes) -> Page:
    """Read a page, and check what is true of all of them."""
    text = body.decode()
    assert text.startswith("<!doctype html>\n")
    page = Page()
    page.feed(text)
    page.close()
    assert page._open == []
    check_page(page)
    return page


def read_reply(reply: Reply, status: int = 200) -> Page:
    """The page of a reply, with its headers."""
    headers = dict(reply.headers)
    assert reply.status == status
    assert reply.content_type == b"text/html; charset=utf-8"
    check_headers({name.decode(): value.decode() for name, value in headers.items()})
    return read_page(reply.body)


def check_headers(headers: Any) -> None:
    """What every page is sent with."""
    directives = dict(each.strip().partition(" ")[::2] for each in headers["content-security-policy"].split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["style-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"
    assert directives["base-uri"] == "'none'"
    assert directives["form-action"].startswith("'self'")
    assert "script-src" not in directives
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "permissions-policy" in headers
    assert "cross-origin-opener-policy" not in headers  # a client's window that opened this one would be lost


def check_page(page: Page) -> None:
    """Structure, names and addresses."""
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("title").text.strip() not in {"", "· orgserver"}
    assert len(page.all("h1")) == 1
    assert page.one("h1").text.strip()
    for landmark in ("header", "main", "footer"):
        assert [each.parents for each in page.all(landmark) if each.parents == ("html", "body")], landmark
    assert not [each.tag for each in page.elements if each.tag in _FORBIDDEN]
    for each in page.elements:
        assert not [name for name in each.attributes if name.startswith("on") or name == "style"], each
        for name in ("href", "src", "action", "formaction"):
            if name in each.attributes and "rel" not in each.attributes:
                assert each.attributes[name].startswith("/"), each
    assert [each.attributes["href"].partition("?")[0] for each in page.all("link")] == ["/signin/style.css"]
    ids = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
    assert len(ids) == len(set(ids)), "an id is there twice"
    for name in ("aria-labelledby", "aria-describedby", "for"):
        for each in page.elements:
            assert set(each.attributes.get(name, "").split()) <= set(ids), each
    _check_names(page)
    _check_headings(page)


def _check_names(page: Page) -> None:
    """Whatever a person uses has a name that a screen reader can say."""
    labels = {each.attributes["for"] for each in page.all("label") if "for" in each.attributes}
    for each in page.elements:
        if each.tag in {"button", "a", "summary"}:
            assert each.text.strip() or each.attributes.get("aria-label"), each
        if each.tag in {"input", "select", "textarea"} and each.attributes.get("type") != "hidden":
            assert "label" in each.parents or each.attributes.get("id") in labels, each
        if each.tag in {"section", "nav"}:
            assert {"aria-label", "aria-labelledby"} & each.attributes.keys(), each
        if each.tag == "th":
            assert each.attributes["scope"] in {"col", "row"}, each
    for form in page.all("form"):
        assert form.attributes["method"] in {"post", "get"}


def _check_headings(page: Page) -> None:
    """No level is left out."""
    levels = [int(each.tag[1]) for each in page.elements if each.tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels
