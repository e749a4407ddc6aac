"""The CSV of bulk jobs: read as Salesforce reads it, written as it writes it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orgserver.sandbox.errors import Refusal

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
NULL = "#N/A"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of a job's sheets are set apart."""

    delimiter: str = "COMMA"
    line_ending: str = "LF"

    def read(self, body: bytes) -> Iterator[list[str]]:
        """The rows of a sheet, the header first; Refusal where it is no such sheet."""
        if body and not self._ends_well(body):
            message = "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is "
            raise Refusal(400, "CLIENTINPUTERROR", message + self.line_ending)
        text = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
        try:
            for row in csv.reader(text, delimiter=DELIMITERS[self.delimiter], strict=True):
                if row:
                    yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise Refusal(400, "INVALIDBATCH", f"InvalidBatch : Failed to parse CSV: {error}") from None

    def _ends_well(self, body: bytes) -> bool:
        end = body.find(b"\n")
        return end < 0 or (body[end - 1 : end] == b"\r") is (self.line_ending == "CRLF")

    def write(self, rows: Iterable[Iterable[str]]) -> str:
        """A sheet of these rows, every cell in quotes."""
        text = io.StringIO()
        ending = LINE_ENDINGS[self.line_ending]
        csv.writer(text, delimiter=DELIMITERS[self.delimiter], lineterminator=ending, quoting=csv.QUOTE_ALL).writerows(
            rows
        )
        return text.getvalue()
