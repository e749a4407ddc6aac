"""The access report as one page: a table of what each principal may do, nothing from outside, no scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from orgserver.cli.audit.pages.page import begin, end, heads, text
from orgserver.model.access.principals import PERMISSIONS

if TYPE_CHECKING:
    from orgserver.services.audit.access_report import Access, AccessReport

_TITLES = ("Orgs", "May", "Through", "Since", "Until", "Limits", "Last use")


def parts(report: AccessReport, maker: str) -> Iterator[str]:
    """Draw the page, a piece at a time: of a thousand principals it is long."""
    about = "".join(
        f", {word} {text(value)}"
        for word, value in (("org", report.org), ("principal", report.principal))
        if value is not None
    )
    unused = f", unused for {report.unused_days:,} days" if report.unused_days else ""
    yield begin(f"Access report, {report.time:%Y-%m-%d}")
    yield f"<header><h1>Access report</h1><p>{report.time:%Y-%m-%d %H:%M} UTC{about}{unused}</p>"
    yield f'<p class="soft small">Store {text(report.store_id)}. Made by {text(maker)}.</p></header>'
    yield _tiles(report)
    yield from _section(
        "Who may do what", [line for line in report.access if line.kind != "local"], report, "Nobody has a grant here."
    )
    yield from _local([line for line in report.access if line.kind == "local"], report)
    yield from _section("Without effect", report.without_effect, report)
    yield end(
        "Grants add up; limits take away, whoever granted. Last use: the newest entry of the audit log by this "
        "principal in these orgs that was not denied; entries that were pruned count for nothing."
    )


def _tiles(report: AccessReport) -> str:
    granted = [line for line in report.access if line.grant is not None]
    never = sum(line.last_use is None for line in granted)
    tiles = (
        ("", report.principals, "principals" if report.principals != 1 else "principal"),
        ("", report.orgs, "orgs" if report.orgs != 1 else "org"),
        ("succeeded", len(granted), "grants in force"),
        ("rejected", never, "of them never used"),
        ("not_sent", len(report.without_effect), "without effect"),
    )
    items = "".join(f'<li class="{kind}"><b>{number:,}</b>{words}</li>' for kind, number, words in tiles)
    return f'<ul class="tiles">{items}</ul>'


def _section(title: str, lines: list[Access], report: AccessReport, nothing: str | None = None) -> Iterator[str]:
    if not lines and nothing is None:
        return
    yield f"<section><h2>{title}</h2>"
    if lines:
        yield f'<div class="scroll"><table class="access">{heads(_TITLES)}'
        for _, some in groupby(lines, lambda line: (line.principal, line.kind)):
            yield _holder([*some], report)
        yield "</table></div>"
    else:
        yield f"<p>{nothing}</p>"
    yield "</section>"


def _local(lines: list[Access], report: AccessReport) -> Iterator[str]:
    """Those who need no grant."""
    if lines:
        yield "<section><h2>This machine</h2>"
        yield "<p>Who uses orgserver on its own machine holds every permission on every org.</p>"
        yield '<ul class="local">'
        for line in lines:
            yield f"<li><b>{text(line.principal)}</b> last use: {text(say_last_use(line, report.time))}</li>"
        yield "</ul></section>"


def _holder(lines: list[Access], report: AccessReport) -> str:
    """What one principal may do, below its name."""
    first = lines[0]
    facts = [first.kind, *first.roles]
    if first.own_limits:
        facts.append(f"limited everywhere: {'; '.join(first.own_limits)}")
    if first.without_effect in ("disabled", "no grant"):
        facts.append(first.without_effect)
    head = (
        f'<tr class="holder"><th colspan="{len(_TITLES)}" scope="rowgroup"><span class="name">{text(first.principal)}'
        f'</span> <span class="soft">{text(", ".join(facts))}</span></th></tr>'
    )
    rows = "".join(_row(line, report) for line in lines if line.grant is not None)
    return f"<tbody>{head}{rows}</tbody>"


def _row(line: Access, report: AccessReport) -> str:
    grant = line.grant
    assert grant is not None  # noqa: S101  # what has a row has one
    until = f"{grant.until:%Y-%m-%d}" if grant.until is not None else ""
    if line.without_effect == "ended":
        until += _below("ended")
    orgs = text(line.org or line.selector) + _below(_say_many(line))
    if line.without_effect not in (None, "disabled", "ended"):
        orgs += _below(line.without_effect)
    cells = (
        ("name", orgs),
        ("", _permissions(line.permissions)),
        ("name", text(say_through(line)) + _below(f"by {grant.by}" if grant.by else None)),
        ("nowrap", f"{grant.created_at:%Y-%m-%d}"),
        ("nowrap", until),
        ("limits", _list(say_limits(line))),
        ("nowrap" if line.last_use else "nowrap soft", _last_use(line, report)),
    )
    return f"<tr>{''.join(_cell(title, *cell) for title, cell in zip(_TITLES, cells, strict=True))}</tr>"


def _cell(title: str, kind: str, content: str) -> str:
    """A cell, which names its column itself where there is no room for columns."""
    return f'<td class="{kind}" data-title="{title}">{content}</td>' if content else '<td class="empty"></td>'


def _below(words: str | None) -> str:
    return f'<br><span class="soft">{text(words)}</span>' if words else ""


def _say_many(line: Access) -> str | None:
    """How many orgs a selector means, or by which one an org is meant."""
    if line.org is not None:
        return None if line.org == line.selector else line.selector
    return f"{line.orgs:,} {'org' if line.orgs == 1 else 'orgs'}"


def _permissions(permissions: Iterable[str]) -> str:
    """What is allowed, a mark for each, in their one order."""
    allowed = set(permissions)
    return "".join(f'<span class="permission {each}">{each}</span>' for each in PERMISSIONS if each in allowed)


def _list(words: list[str]) -> str:
    return f"<div>{'<br>'.join(map(text, words))}</div>" if words else ""


def _last_use(line: Access, report: AccessReport) -> str:
    return text(say_last_use(line, report.time)).replace(" (", '<br><span class="soft">').replace(")", "</span>")


# -- words, which tables on a terminal share


def say_through(line: Access) -> str | None:
    """Whose grant it is."""
    if line.kind == "local":
        return "this machine"
    if line.grant is None:
        return None
    return f"group {line.group}" if line.group is not None else "own grant"


def say_orgs(line: Access) -> str | None:
    """Which orgs, and how many."""
    if line.selector is None:
        return None
    if line.org is not None:
        return line.org if line.org == line.selector else f"{line.org} ({line.selector})"
    return f"{line.selector} ({line.orgs:,} {'org' if line.orgs == 1 else 'orgs'})"


def say_limits(line: Access) -> list[str]:
    """What limits the principal there."""
    limits = list(line.limits)
    if line.org is None and line.limited_orgs:
        limits.append(
            f"{line.limited_orgs:,} of these orgs {'has a policy' if line.limited_orgs == 1 else 'have policies'}"
        )
    return limits


def say_last_use(line: Access, now: datetime) -> str | None:
    """When it was last used, and how long ago."""
    if line.grant is None and line.kind != "local":
        return None
    if line.last_use is None:
        return "never"
    days = (now - line.last_use).days
    ago = "today" if days < 1 else "1 day ago" if days == 1 else f"{days:,} days ago"
    return f"{line.last_use:%Y-%m-%d} ({ago})"
