"""The error replies of Salesforce, as exceptions that carry their status and body."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """An error reply: its HTTP status and Salesforce's body."""

    def __init__(self, status: int, code: str, message: str, fields: list[str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields
        error: dict[str, Any] = {"message": message, "errorCode": code}
        if fields is not None:
            error["fields"] = fields
        self.body: Any = [error]

    def outcome(self) -> dict[str, Any]:
        """The error as one record's outcome among others'."""
        return {"statusCode": self.code, "message": self.message, "fields": self.fields or []}


class Duplicates(Refusal):
    """A duplicate rule's refusal, which says what it found."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(400, "DUPLICATES_DETECTED", "Use one of these records?")
        self.result = result
        # So spelt on the wire, of a single record only.
        self.body = [{"duplicateResut": result, "errorCode": self.code, "message": self.message}]

    def outcome(self) -> dict[str, Any]:
        """The error as one record's outcome among others'."""
        return super().outcome() | {"duplicateResult": self.result}


class OAuthRefusal(Exception):
    """An error of the OAuth endpoints, which have a form of their own."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


def framed(code: str, message: str, text: str, position: int) -> Refusal:
    """An error in a query, with Salesforce's frame around the place."""
    before = text[:position]
    row = before.count("\n") + 1
    column = position - (before.rfind("\n") + 1) + 1
    start = max(0, position - 30)
    excerpt = text[start : position + 30].replace("\n", " ")
    frame = f"\n{excerpt}\n{' ' * (position - start)}^\nERROR at Row:{row}:Column:{column}\n"
    return Refusal(400, code, frame + message)
