"""One query in many orgs at once: each with its own entry, its own time, and its own answer or error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from orgserver.model.audit import Action
from orgserver.model.errors import CallError, InvalidArgument, LoginRequired, NotSent, Rejected
from orgserver.model.orgs import Caller
from orgserver.model.results import FieldValues, Page
from orgserver.services.calls.access import Access
from orgserver.services.calls.plan import Call
from orgserver.services.executor import Executor
from orgserver.services.fleet import aggregation
from orgserver.services.fleet.aggregation import Merge
from orgserver.services.queries.operations import QueryOperations
from orgserver.services.results import result_size
from orgserver.services.results.byte_budget import ByteBudget

AT_ONCE = 10
"""Orgs that are asked at the same time."""
SECONDS = 20.0
"""How long one org may take: one that hangs does not hold the answer any longer."""
EVERY = "*"
MAX_ORGS = 500
"""So many are asked in one call: a minute or two, and the errors of all of them still fit a result."""
_GROUPS = 2_000
"""Salesforce gives no more groups than this, and does not page them."""
_ERROR_KEYS = ("code", "category", "message", "fields", "retryable", "outcome", "hint")
_BARE_KEYS = ("code", "outcome")
_MOST_WARNINGS = 10


@dataclass(frozen=True, slots=True)
class FleetResult:
    """What many orgs answered, side by side, in the order in which they were named."""

    results: list[dict[str, Any]]
    orgs: int
    answered: int
    merged: list[FieldValues] | None = None
    total_size: int | None = None
    """Of all orgs that answered, where their numbers were merged."""
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _FanOut:
    """A query on its way through the orgs."""

    call: Call
    soql: str
    limit: int
    slots: asyncio.Semaphore
    total: int
    finished: int = 0


class Fleet:
    """Asks many orgs one query, at once: each with its grant, its policy and its entry."""

    def __init__(
        self,
        executor: Executor,
        queries: QueryOperations,
        access: Access,
        *,
        at_once: int = AT_ONCE,
        seconds: float = SECONDS,
    ) -> None:
        self._executor = executor
        self._queries = queries
        self._access = access
        self._at_once = at_once
        self._seconds = seconds

    async def query(
        self, call: Call, orgs: Sequence[str], soql: str, *, limit: int = 50, merge: bool = False
    ) -> FleetResult:
        """Run a query in every org that is named; ``["*"]`` names all that the principal may use."""
        try:
            summation = aggregation.read_merge(soql) if merge else None
            aliases = await self._aliases(call.caller, orgs)
        except InvalidArgument as error:
            await self._executor.log.refuse(call.intent(Action.QUERY), error)
            raise
        slots = asyncio.Semaphore(self._at_once)
        fan_out = _FanOut(call, soql, _GROUPS if summation else limit, slots, len(aliases))
        async with asyncio.TaskGroup() as group:  # a caller that goes away takes every question with it
            tasks = [group.create_task(self._ask(fan_out, alias)) for alias in aliases]
        answers = dict(zip(aliases, (task.result() for task in tasks), strict=True))
        if summation is None:
            return _side_by_side(answers)
        return _merge_answers(answers, summation, await self._org_ids(call.caller))

    async def _org_ids(self, caller: Caller) -> dict[str, str]:
        """The org ids of aliases: an org may have several. Of one that answered, it is known by now."""
        return {org.alias: org.org_id for org in await self._access.visible(caller) if org.org_id is not None}

    async def _aliases(self, caller: Caller, orgs: Sequence[str]) -> list[str]:
        if EVERY not in orgs:
            return list(dict.fromkeys(orgs))
        if len(orgs) > 1:
            raise InvalidArgument(
                'orgs names either some orgs or ["*"], which are all that you may use', fields=["orgs"]
            )
        visible = [org.alias for org in await self._access.visible(caller)]
        if not visible:
            raise InvalidArgument("no org is available to you", fields=["orgs"])
        if len(visible) > MAX_ORGS:
            raise InvalidArgument(
                f'"*" means more than {MAX_ORGS} orgs, the most of one call',
                fields=["orgs"],
                hint="name some of them; salesforce_list_orgs finds aliases by a part of a name or a tag (match)",
            )
        return list(visible)

    async def _ask(self, fan_out: _FanOut, alias: str) -> Page | CallError:
        async with fan_out.slots:
            try:
                query = self._queries.query(fan_out.soql, limit=fan_out.limit, seconds=self._seconds)
                answer: Page | CallError = await self._executor.run(structs.replace(fan_out.call, org=alias), query)
            except LoginRequired as error:
                error.hint = error.hint or "a call to this org alone leads you to a login"
                answer = error
            except CallError as error:
                answer = error
        fan_out.finished += 1
        await fan_out.call.caller.tell(
            fan_out.finished, fan_out.total, f"{fan_out.finished} of {fan_out.total} orgs have answered"
        )
        return answer


# -- side by side


def _side_by_side(answers: dict[str, Page | CallError]) -> FleetResult:
    """The records of each org, as many of each as there is room for all."""
    pages = {alias: page for alias, page in answers.items() if isinstance(page, Page)}
    errors, room = _errors(answers)
    counts = _fair_counts(pages, room - sum(len(alias) + 200 for alias in pages))
    results: list[dict[str, Any]] = []
    for alias, answer in answers.items():
        if isinstance(answer, Page):
            results.append(_org_result(alias, answer, counts[alias]))
        else:
            results.append({"org": alias, "error": errors[alias]})
    warnings = _warnings(pages)
    cut = sum(counts[alias] < len(page.records) for alias, page in pages.items())
    if cut:
        warnings.append(
            f"records of {cut} org{'s' if cut != 1 else ''} were left out, because a result ends at 60 KB: "
            "ask for fewer fields, fewer orgs or a lower limit_per_org"
        )
    return FleetResult(results, len(answers), len(pages), warnings=tuple(warnings))


def _org_result(alias: str, page: Page, count: int) -> dict[str, Any]:
    is_cut = count < len(page.records)
    result: dict[str, Any] = {"org": alias, "records": page.records[:count], "has_more": is_cut or page.has_more}
    if page.total_size is not None:
        result["total_size"] = page.total_size
    if page.next_cursor is not None and not is_cut:
        result["next_cursor"] = page.next_cursor
    return result


def _fair_counts(pages: dict[str, Page], room: int) -> dict[str, int]:
    """How many records of each org there is room for: the first of each, then the second of each, and so on."""
    counts = dict.fromkeys(pages, 0)
    budget = ByteBudget(room - sum(len(page.next_cursor or "") for page in pages.values()))
    for place in range(max((len(page.records) for page in pages.values()), default=0)):
        for alias, page in pages.items():
            if counts[alias] < place or place >= len(page.records):
                continue
            if not budget.take(page.records[place]):
                return counts
            counts[alias] = place + 1
    return counts


# -- merged


def _merge_answers(answers: dict[str, Page | CallError], merge: Merge, org_ids: dict[str, str]) -> FleetResult:
    """The numbers of all orgs added up, each org's once, and what each alias told."""
    whole = {alias: _whole(answer, merge) for alias, answer in answers.items()}
    pages = {alias: page for alias, page in whole.items() if isinstance(page, Page)}
    errors, room = _errors(whole)
    aliases_by_org: dict[str, list[str]] = {}
    for alias in pages:
        aliases_by_org.setdefault(org_ids.get(alias, alias), []).append(alias)
    distinct = [pages[aliases[0]] for aliases in aliases_by_org.values()]
    total = sum(page.total_size or 0 for page in distinct)
    results = [
        {"org": alias, "total_size": answer.total_size}
        if isinstance(answer, Page)
        else {"org": alias, "error": errors[alias]}
        for alias, answer in whole.items()
    ]
    warnings = [*merge.warnings, *_several_aliases(aliases_by_org.values()), *_warnings(pages)]
    if merge.counts_only:
        return FleetResult(results, len(answers), len(pages), merge.count_row(total), total, tuple(warnings))
    rows = merge.add_rows([page.records for page in distinct])
    fitting = _fitting_count(rows, room - sum(len(alias) + 40 for alias in pages))
    if fitting < len(rows):
        warnings.append(f"{len(rows) - fitting} of {len(rows)} groups were left out, because a result ends at 60 KB")
    return FleetResult(results, len(answers), len(pages), rows[:fitting], len(rows), tuple(warnings))


def _several_aliases(groups: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"{', '.join(aliases[:-1])} and {aliases[-1]} are one org: it is counted once, as {aliases[0]} told"
        for aliases in groups
        if len(aliases) > 1
    ][:_MOST_WARNINGS]


def _whole(answer: Page | CallError, merge: Merge) -> Page | CallError:
    """An org whose groups did not all come, or are none, would make the numbers wrong."""
    if isinstance(answer, Page) and not merge.accepts(answer.records):
        return Rejected("the org's answer has groups whose values cannot be added up", code="BAD_REPLY")
    if isinstance(answer, Page) and answer.is_limited:
        return NotSent(
            "this org has more groups than its policy lets one query give, so it was not merged",
            code="ROW_LIMIT",
            category="policy",
            retryable=False,
        )
    if isinstance(answer, Page) and answer.next_cursor is not None:
        return NotSent(
            "this org has more groups than fit one answer, so it was not merged",
            code="TOO_MANY_GROUPS",
            category="invalid_argument",
            retryable=False,
        )
    return answer


def _fitting_count(rows: list[FieldValues], room: int) -> int:
    budget = ByteBudget(room)
    for number, row in enumerate(rows):
        if not budget.take(row):
            return number
    return len(rows)


# -- both


def _errors(answers: dict[str, Page | CallError]) -> tuple[dict[str, dict[str, Any]], int]:
    """The error of each org that has one, in fewer words when there are very many, and the room that is left."""
    failed = {alias: error for alias, error in answers.items() if isinstance(error, CallError)}
    for keys in (_ERROR_KEYS, _BARE_KEYS):
        shown = {alias: _error_result(error, keys) for alias, error in failed.items()}
        room = (
            result_size.MAX_BYTES
            - result_size.FRAME_BYTES
            - sum(result_size.size(each) + len(alias) + 30 for alias, each in shown.items())
        )
        if room > result_size.MAX_BYTES // 2:
            break
    return shown, room


def _error_result(error: CallError, keys: Sequence[str]) -> dict[str, Any]:
    whole = error.as_json(None)["error"]
    return {name: whole[name] for name in keys if name in whole}


def _warnings(pages: dict[str, Page]) -> list[str]:
    return [f"{alias}: {warning}" for alias, page in pages.items() for warning in page.warnings][:_MOST_WARNINGS]
