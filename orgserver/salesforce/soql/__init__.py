"""SOQL: quoting values into it, reading what it touches, and parsing it (SOQL and SOSL Reference)."""

from orgserver.salesforce.soql.analysis import Read, has_comment, reads, redact, summary, summary_of, understood
from orgserver.salesforce.soql.grammar import parse
from orgserver.salesforce.soql.path_uses import path_uses
from orgserver.salesforce.soql.places import is_plain
from orgserver.salesforce.soql.quoting import MAX_LITERAL, like, literal
from orgserver.salesforce.soql.row_query import RowQuery, row_query
from orgserver.salesforce.soql.tokens import SoqlError

__all__ = [
    "MAX_LITERAL",
    "Read",
    "RowQuery",
    "SoqlError",
    "has_comment",
    "is_plain",
    "like",
    "literal",
    "parse",
    "path_uses",
    "reads",
    "redact",
    "row_query",
    "summary",
    "summary_of",
    "understood",
]
