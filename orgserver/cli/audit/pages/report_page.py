"""The audit report as one page: charts from pygal without its scripts, a table behind each, nothing from outside."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import count

from orgserver.cli.audit.pages.page import begin, end, table, text
from orgserver.model.text import count_of, escape_text
from orgserver.services.audit.report import DIMENSIONS, FAILURES, OUTCOMES, RULE, Counts, Line, Report

WORDS = {
    "succeeded": "succeeded",
    "denied": "denied",
    "rejected": "rejected by Salesforce",
    "unknown": "outcome unknown",
    "not_sent": "not sent",
    "pending": "still pending",
}
_SVG = "http://www.w3.org/2000/svg"
_WIDTH = 960
_LABEL = 28
_TICKS = 5
_LABELS = 12


def page(report: Report, time: datetime, maker: str) -> str:
    """Draw the whole page."""
    outcomes = [outcome for outcome in OUTCOMES if report.counts.get(outcome)]
    span = f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC"
    parts = [
        begin(f"Audit report, {report.since:%Y-%m-%d} to {report.until:%Y-%m-%d}"),
        f"<header><h1>Audit report</h1><p>{span}{text(say_filter(report.only))}</p>",
        f'<p class="soft small">Store {text(report.store_id)}. Made {time:%Y-%m-%d %H:%M} UTC by {text(maker)}.</p>',
        "</header>",
        _tiles(report),
        _repeats(report),
        _failures(report),
    ]
    if report.total:
        parts += [_times(report, outcomes), *(_named(report, name, outcomes) for name in (*DIMENSIONS, RULE))]
    parts.append(_people(report))
    parts.append(
        end(
            "Counted from the audit log by the time an act began. "
            "This page proves nothing by itself: <code>orgserver audit verify</code> shows that the log is whole."
        )
    )
    return "\n".join(parts)


# -- parts


def _tiles(report: Report) -> str:
    tiles = [f"<li><b>{report.total:,}</b>{'entry' if report.total == 1 else 'entries'}</li>"]
    for outcome in OUTCOMES:
        number = report.counts.get(outcome, 0)
        if number or outcome in ("succeeded", "denied", "rejected"):
            tiles.append(f'<li class="{outcome}"><b>{number:,}</b>{WORDS[outcome]}</li>')
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _repeats(report: Report) -> str:
    words = count_repeats(report.repeats)
    return f'<p class="soft small">{words}.</p>' if words else ""


def _failures(report: Report) -> str:
    if not report.failures:
        words = "Nothing was denied and nothing failed." if report.total else "The audit log has no entry in this span."
        return f"<section><h2>Denials and failures</h2><p>{words}</p></section>"
    number = sum(report.counts.get(outcome, 0) for outcome in FAILURES)
    rows = [
        f'<tr><td class="nowrap {each.outcome}"><span class="mark"></span>{each.outcome.replace("_", " ")}</td>'
        f'<td>{_words(each.error_code)}</td><td class="name who">{text(each.principal)}</td>'
        f'<td class="name">{text(each.org)}</td><td>{text(each.action)}</td><td>{_words(each.object)}</td>'
        f'<td class="number">{each.count:,}</td><td class="nowrap">{each.last:%Y-%m-%d %H:%M}</td></tr>'
        for each in report.failures
    ]
    titles = ("Outcome", "Error", "Principal", "Org", "Action", "Object", "#Entries", "Newest (UTC)")
    more = f'<p class="soft small">and {report.more_failures:,} more kinds</p>' if report.more_failures else ""
    return (
        f"<section><h2>Denials and failures</h2><p>{number:,} of {count_of(report.total, 'entry')} "
        f"({100 * number / report.total:.1f} %), what happened most often first within each outcome.</p>"
        f"{table(titles, rows)}{more}</section>"
    )


def _times(report: Report, outcomes: Sequence[str]) -> str:
    labels = [_time_label(report.period, line.name or "") for line in report.times]
    chart = _chart(report.times, labels, outcomes, f"Entries by {report.period} and outcome", lying=False)
    table = _counts_table(report.period.capitalize(), report.times, outcomes)
    return (
        f"<section><h2>By {report.period}</h2>{_key(outcomes)}{chart}"
        f"<details><summary>The numbers by {report.period}</summary>{table}</details></section>"
    )


def _named(report: Report, name: str, outcomes: Sequence[str]) -> str:
    lines = report.by[name]
    if not lines:
        return ""
    labels = [_cut(_name(line)) for line in lines]
    chart = _chart(lines, labels, outcomes, f"Entries by {name} and outcome", lying=True)
    table = _counts_table(name.capitalize(), lines, outcomes)
    return f"<section><h2>By {name}</h2>{_key(outcomes)}{chart}{table}</section>"


def _people(report: Report) -> str:
    """Who acted as whom at Salesforce."""
    if not report.people:
        return ""
    rows = [
        f'<tr><th scope="row" class="name who">{text(each.principal)}</th>'
        f'<td class="name">{text(each.salesforce_user)}</td><td>{text(each.identity)}</td>'
        f'<td class="number">{each.calls:,}</td><td class="number">{each.changes:,}</td>'
        f'<td class="number">{each.denied:,}</td></tr>'
        for each in report.people
    ]
    titles = ("Principal", "Salesforce user", "Login", "#Calls", "#Changes", "#Denied")
    return (
        "<section><h2>By person</h2><p>Who acted as whom at Salesforce: by the login that all share, or by their own."
        f"</p>{table(titles, rows)}</section>"
    )


def _key(outcomes: Sequence[str]) -> str:
    items = (f'<li class="{each}"><span class="mark"></span>{WORDS[each]}</li>' for each in outcomes)
    return f'<ul class="key">{"".join(items)}</ul>'


def _counts_table(title: str, lines: Sequence[Line], outcomes: Sequence[str]) -> str:
    rows = [
        f'<tr><th scope="row" class="name who">{text(_name(line))}</th>'
        + "".join(f'<td class="number">{line.counts.get(outcome, 0):,}</td>' for outcome in outcomes)
        + f'<td class="number">{line.total:,}</td></tr>'
        for line in lines
    ]
    return table((title, *(f"#{WORDS[each][0].upper()}{WORDS[each][1:]}" for each in outcomes), "#Entries"), rows)


# -- charts


def _chart(lines: Sequence[Line], labels: Sequence[str], outcomes: Sequence[str], title: str, *, lying: bool) -> str:
    """A stacked bar for each line, and a colour for each outcome."""
    import pygal  # noqa: PLC0415  # for this page alone

    bars = list(reversed(lines)) if lying else list(lines)
    config = {
        "width": _WIDTH,
        "height": 44 + 26 * len(bars) if lying else 260,
        "show_legend": False,
        "margin": 8,
        "spacing": 4,
        "js": (),
        "no_prefix": True,
        "truncate_label": -1,
        "print_values": False,
        "y_labels": _ticks(max(line.total for line in bars)),
        "value_formatter": lambda number: f"{number:,.0f}",
        "style": pygal.style.Style(label_font_size=12, major_label_font_size=12, font_family="sans-serif"),
    }
    if lying:
        chart = pygal.HorizontalStackedBar(**config)
        chart.x_labels = list(reversed(labels))
    else:
        every = -(-len(labels) // _LABELS)
        chart = pygal.StackedBar(**config, show_minor_x_labels=False, x_labels_major_every=every)
        chart.x_labels = labels
    for outcome in outcomes:
        chart.add(outcome, [line.counts.get(outcome, 0) for line in bars])
    label = f"{text(title)}; the numbers are in the table below"
    return f'<figure role="img" aria-label="{label}">{_bare(chart.render(), outcomes)}</figure>'


def _bare(rendered: bytes, outcomes: Sequence[str]) -> str:
    """A drawing alone: without its styles, scripts, tips and comments, its colours left to our own styles."""
    ET.register_namespace("", _SVG)
    drawing = ET.fromstring(rendered)  # noqa: S314  # pygal's own
    for parent in list(drawing.iter()):
        for child in list(parent):
            name, kind = child.tag.removeprefix(f"{{{_SVG}}}"), child.get("class", "")
            empty = name == "rect" and "rect" in kind.split() and not _sized(child)
            if name in ("defs", "style", "script", "desc", "title") or "overlay" in kind or empty:
                parent.remove(child)
        kind = parent.get("class", "")
        parent.set("class", " ".join(_ours(word, outcomes) for word in kind.split()))
    drawing.attrib.pop("id", None)
    drawing.set("aria-hidden", "true")
    return ET.tostring(drawing, encoding="unicode")


def _sized(bar: ET.Element) -> bool:
    return float(bar.get("width", "0")) > 0 and float(bar.get("height", "0")) > 0


def _ours(word: str, outcomes: Sequence[str]) -> str:
    number = word.removeprefix("color-")
    return outcomes[int(number)] if number != word and number.isdigit() else word


def _ticks(most: int) -> list[int]:
    """Whole, round numbers from nothing to at least the most."""
    step = next(size * 10**power for power in count() for size in (1, 2, 5) if most <= _TICKS * size * 10**power)
    return list(range(0, most + step, step))


# -- words


def _words(value: object) -> str:
    """A name of Salesforce's, which may break after an underscore."""
    return text(value).replace("_", "_<wbr>")


def _name(line: Line) -> str:
    return f"{line.others:,} others" if line.others else line.name or ""


def _cut(name: str) -> str:
    name = escape_text(name)
    return name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"


def _time_label(period: str, start: str) -> str:
    day = date.fromisoformat(start)
    return f"{day:%b %Y}" if period == "month" else f"{day:%b} {day.day}"


def count_repeats(number: int) -> str:
    """How many of the calls that succeeded were repeats; nothing where none was."""
    verb = "repeats an earlier call" if number == 1 else "repeat earlier calls"
    return f"{number:,} of those that succeeded {verb}: nothing was sent" if number else ""


def say_filter(only: Mapping[str, str]) -> str:
    """Which entries a report is about, where it is not about all of them."""
    return "".join(f", {name} {value}" for name, value in only.items())


def shares(counts: Counts) -> str:
    """Outcomes in a few words."""
    return ", ".join(f"{number:,} {WORDS[outcome]}" for outcome, number in counts.items())
