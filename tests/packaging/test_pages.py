"""The pages for contributors and reporters name what is there: commands, faults, files, addresses."""

import re
import tomllib
from importlib.util import find_spec

import pytest

from tests.faults.__main__ import anywhere
from tests.faults.store_places import IN_FILE
from tests.packaging.published import ROOT

PAGES = ("CONTRIBUTING.md", "SECURITY.md", "packaging/README.md")
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_names_is_there(name: str) -> None:
    page = (ROOT / name).read_text("utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", page)]
    modules = re.findall(r"python -m (tests[\w.]*)", page)

    assert links
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []
    assert [module for module in modules if find_spec(module) is None] == []
    assert {address for address in re.findall(r"https://github\.com/[^\s>)]+", page) if not ours(address)} == set()


def ours(address: str) -> bool:
    return address.startswith(URLS["Repository"] + "/")


def test_the_fault_and_the_test_that_contributors_are_shown_are_there() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (fault,) = re.findall(r"python -m tests\.faults (\w+)", page)
    (file, word) = re.findall(r"pytest -n 0 (\S+) -k (\w+)", page)[0]

    assert fault in anywhere(1, IN_FILE, quick=True, minutes=1, plain=False)
    assert word in (ROOT / file).read_text("utf-8")


def test_the_addresses_of_the_project_lead_to_files_that_are_there() -> None:
    files = [url.partition("/blob/main/")[2] for url in URLS.values() if "/blob/" in url]

    assert all(url == URLS["Repository"] or ours(url) for url in URLS.values())
    assert sorted(files) == ["CHANGELOG.md", "SECURITY.md"]
    assert all((ROOT / file).is_file() for file in files)
