"""``audit report``: who did what where, on the terminal and on one page that needs nothing from elsewhere."""

import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.audit import Completion, Intent, Outcome, SalesforceUser
from orgserver.model.names import new_id
from orgserver.services.audit.report import TOP
from tests.cli.shells import Shell

STRANGER = "<script>alert('x')</script>&\u202e"


@pytest.fixture
async def used(shell: Shell) -> Shell:
    """A home in which two principals worked in three orgs, and some of it failed."""
    async with open_app(read_settings({"home": shell.home}, {})) as app:

        async def record(outcome: Outcome, code: str | None = None, times: int = 1, **details: str) -> None:
            for _ in range(times):
                given: dict[str, Any] = {
                    "principal": "agent:one",
                    "action": "create",
                    "org": "acme",
                    "object": "Contact",
                } | details
                await app.store.audit.record(Intent(new_id(), transport="stdio", **given), Completion(outcome, code))

        await record(Outcome.SUCCEEDED, times=5)
        await record(Outcome.SUCCEEDED, org="globex", action="read", object="Invoice__c")
        await record(Outcome.REJECTED, "DUPLICATE_VALUE", times=3)
        await record(Outcome.DENIED, "UNKNOWN_ORG", org="acne", principal=STRANGER)
    return shell


async def test_denials_and_failures_come_first(used: Shell) -> None:
    shown, told = await used("audit", "report"), (await used("audit", "report", "--json")).json

    assert shown.code == 0, shown.err
    assert "10 entries\n6 succeeded, 1 denied, 3 rejected by Salesforce" in shown.out
    assert shown.out.index("DUPLICATE_VALUE") < shown.out.index("By day") < shown.out.index("By org")
    assert "\u202e" not in shown.out
    assert [(each["outcome"], each["error_code"], each["org"], each["count"]) for each in told["failures"]] == [
        ("denied", "UNKNOWN_ORG", "(no such org)", 1),
        ("rejected", "DUPLICATE_VALUE", "acme", 3),
    ]
    assert told["counts"] == {"succeeded": 7, "denied": 1, "rejected": 3}  # the first report is on record
    assert [(line["name"], line["counts"]) for line in told["by"]["org"]] == [
        ("acme", {"succeeded": 5, "rejected": 3}),
        ("(no such org)", {"denied": 1}),
        ("globex", {"succeeded": 1}),
    ]
    assert [line["name"] for line in told["by"]["object"]] == ["Contact", "Invoice__c"]
    assert len(told["times"]) in (30, 31) or told["times"][-1]["counts"]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name.split(":")[-1] in ("src", "href", "action")]


async def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(used: Shell, tmp_path: Path) -> None:
    file = tmp_path / "report.html"

    made = await used("audit", "report", "--html", str(file))
    text = file.read_text()
    page = Page(text)

    assert made.code == 0, made.err
    assert (made.out, made.err) == ("", f"{file}: 10 entries\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert page.links == []
    assert "script" not in page.tags
    assert "url(" not in text
    assert "@import" not in text
    assert re.findall(r"https?://[^\s\"<]+", text) == ["http://www.w3.org/2000/svg"] * page.tags.count("svg")
    assert page.tags.count("style") == 1


async def test_what_strangers_wrote_is_text_and_each_chart_has_its_table(used: Shell, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    await used("audit", "report", "--html", str(file))
    text = file.read_text()
    page = Page(text)

    assert "<script" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;\\u202e" in text
    assert page.tags.count("svg") == page.tags.count("figure") == 5
    assert page.tags.count("table") == 6
    assert 'lang="en"' in text
    assert text.count('role="img" aria-label=') == 5
    assert text.index("Denials and failures") < text.index("By day")


async def test_a_name_is_not_hidden_where_it_would_be_the_only_one_that_is_counted_with_others(shell: Shell) -> None:
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        for number in range(TOP + 1):
            act = Intent(new_id(), "agent:one", "stdio", "read", org=f"org{number}", object="Contact")
            await app.store.audit.record(act, Completion(Outcome.SUCCEEDED))
            failure = Intent(new_id(), f"agent:{number:02}", "stdio", "read", org="org1", object="Contact")
            if number <= 10:
                await app.store.audit.record(failure, Completion(Outcome.REJECTED, "LOCKED"))

    shown, report = await shell("audit", "report"), (await shell("audit", "report", "--json")).json

    assert {line["name"] for line in report["by"]["org"]} == {f"org{number}" for number in range(TOP + 1)}
    assert {each["principal"] for each in report["failures"]} == {f"agent:{number:02}" for number in range(11)}
    assert report["more_failures"] == 0
    assert "1 others" not in shown.out
    assert "more kinds" not in shown.out


async def test_a_report_is_on_record(used: Shell) -> None:
    await used("audit", "report")

    (entry,) = (await used("audit", "list", "--json", "--tool", "audit report")).json

    assert (entry["action"], entry["row_count"], entry["outcome"]) == ("export", 10, "succeeded")


async def test_an_empty_log_is_reported_as_empty(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "empty.html"

    shown = await shell("audit", "report", "--since", "7d")
    drawn = await shell("audit", "report", "--since", "2020-01-01", "--until", "2020-02-01", "--html", str(file))

    assert shown.code == drawn.code == 0, drawn.err
    assert "0 entries" in shown.out
    assert "no entry in this span" in file.read_text()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("--html HERE", 1, "exists"),
        ("--html /nowhere/report.html", 1, "cannot be written"),
        ("--since yesterday", 2, "ISO 8601"),
        ("--since 1d --until 2d", 2, "--until is not after --since"),
        ("--since 2100-01-01", 2, "--since is not in the past"),
    ],
)
async def test_what_cannot_be_is_refused_in_one_line(used: Shell, words: str, code: int, says: str) -> None:
    there = used.home / "there"
    there.write_text("mine")

    ran = await used("audit", "report", *words.replace("HERE", str(there)).split())

    assert ran.code == code, ran.err
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
    assert there.read_text() == "mine"


async def test_who_acted_as_whom_is_counted_by_person(used: Shell, tmp_path: Path) -> None:
    ada, shared = (SalesforceUser(f"005{name}", f"{name}@acme.example") for name in ("ada", "bot"))
    async with open_app(read_settings({"home": used.home}, {})) as app:

        async def record(action: Any, outcome: Outcome, user: SalesforceUser | None, identity: Any) -> None:
            intent = Intent(new_id(), "ada", "http", action, org="acme", salesforce_user=user, identity=identity)
            await app.store.audit.record(intent, Completion(outcome))

        for action in ("create", "read"):
            await record(action, Outcome.SUCCEEDED, ada, "own")
        await record("update", Outcome.DENIED, ada, "own")
        await record("create", Outcome.SUCCEEDED, shared, "shared")
        await record("create", Outcome.NOT_SENT, None, "own")
    shown, told = await used("audit", "report"), (await used("audit", "report", "--json")).json
    page = await used("audit", "report", "--html", str(tmp_path / "report.html"))

    counts = [(each["salesforce_user"], each["identity"], each["calls"]) for each in told["people"]]
    assert counts == [("ada@acme.example", "own", 3), (None, "own", 1), ("bot@acme.example", "shared", 1)]
    assert (told["people"][0]["changes"], told["people"][0]["denied"]) == (1, 1)
    assert "ada@acme.example" in shown.out[shown.out.index("By person") :]
    assert page.code == 0
    assert "<h2>By person</h2>" in (tmp_path / "report.html").read_text()
