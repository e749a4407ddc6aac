"""The SOQL that an agent writes: seen to be a query that only reads, and redacted for the audit log."""

from __future__ import annotations

import re

from orgserver.model import names
from orgserver.model.errors import InvalidArgument
from orgserver.salesforce import soql as soql_text

MAX_SOQL = 100_000
"""Salesforce: "SOQL statements can not be longer than 100000 characters"."""
_GAP = r"[^\w.,()'=]+"
"""Whatever else stands between two words may be white space for somebody."""
_SIDE_EFFECTS = re.compile(
    rf"\bFOR{_GAP}(?:VIEW|REFERENCE|UPDATE)\b|\bUPDATE{_GAP}(?:TRACKING|VIEWSTAT)\b", re.IGNORECASE
)


def check_soql(text: str) -> str:
    """See that a query only reads; the query without its literals, for the audit log."""
    if not text.strip() or len(text) > MAX_SOQL:
        raise InvalidArgument(f"soql has 1 to {MAX_SOQL:,} characters", fields=["soql"])
    if not names.encodable(text):
        raise InvalidArgument("soql has half a character in it (a lone surrogate)", fields=["soql"])
    redacted = soql_text.redact(text)
    if _SIDE_EFFECTS.search(redacted):
        raise InvalidArgument(
            "soql has a clause that does more than read: FOR UPDATE locks records, FOR VIEW, FOR REFERENCE and UPDATE "
            "TRACKING or VIEWSTAT write who looked at them; a query here only reads",
            fields=["soql"],
        )
    if soql_text.has_comment(text):  # what is in it, quotes and clauses too, cannot be judged
        raise InvalidArgument("soql has a comment, which SOQL does not have: leave it out", fields=["soql"])
    return redacted[:MAX_SOQL]
