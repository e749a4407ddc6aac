"""Which of many orgs the selectors of grants mean: each selector is looked up once."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Grant
from orgserver.model.access.standing import Standing
from orgserver.model.names import RowId
from orgserver.model.orgs import Org

_PLAIN = re.compile(r"[^*?\[]*")
_NO_LIMITS = Policy()
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Selection:
    """The orgs that a selector means."""

    orgs: Sequence[Org]

    @cached_property
    def row_ids(self) -> frozenset[RowId]:
        """Their keys."""
        return frozenset(org.row_id for org in self.orgs)

    @cached_property
    def limited(self) -> int:
        """How many of them have a policy that limits everybody."""
        return sum(org.policy != _NO_LIMITS for org in self.orgs)


class Selections:
    """Looks selectors up among the same orgs. What a selector means is judged as it is for a call."""

    def __init__(self, orgs: Sequence[Org]) -> None:
        self._by_alias = sorted(orgs, key=lambda org: org.alias)
        self._aliases = [org.alias for org in self._by_alias]
        self._by_row = {org.row_id: org for org in orgs}
        self._by_tag: dict[str, list[Org]] = defaultdict(list)
        for org in self._by_alias:
            for tag in dict.fromkeys(org.tags):
                self._by_tag[tag].append(org)
        self._everything = Selection(self._by_alias)
        self._selections: dict[tuple[str, RowId | None], Selection] = {}

    def of(self, grant: Grant) -> Selection:
        """The orgs that a grant is about, whether or not its time has ended."""
        if grant.selector.kind == "all":
            return self._everything
        key = grant.selector.text, grant.row_id
        selection = self._selections.get(key)
        if selection is None:
            standing = Standing("", "person", grants=(grant,))
            orgs = [org for org in self._candidates(grant) if standing.grants_in(org, _ANY_TIME)]
            selection = self._selections[key] = Selection(orgs)
        return selection

    def _candidates(self, grant: Grant) -> Sequence[Org]:
        """Orgs among which are all that a grant is about: looked up, so that few are judged."""
        kind, text = grant.selector.kind, grant.selector.text
        if kind == "alias":
            org = self._by_row.get(grant.row_id) if grant.row_id is not None else None
            return () if org is None else (org,)
        if kind == "tag":
            return self._by_tag.get(grant.selector.tag, ())
        plain = _PLAIN.match(text)
        beginning = plain[0] if plain else ""
        first = bisect_left(self._aliases, beginning)
        return self._by_alias[first : bisect_left(self._aliases, f"{beginning}\x7f")]
