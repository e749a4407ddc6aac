"""Which orgs a CSV file offers, a row each. What is wrong is named by row and column, and never by its value.

Columns: ``alias`` and ``client_id``; ``client_secret``, ``refresh_token``, ``login_url``, ``instance_url``,
``username``, ``private_key_file``, ``audience``, ``auth``, ``tag``, ``trust_host``, and those that set limits. Rows are
counted as spreadsheets count them: the first one holds the columns' names.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from orgserver.cli.policies import columns as limit_columns
from orgserver.model import names
from orgserver.model.access.policies import Policy
from orgserver.model.errors import ConfigError
from orgserver.model.names import Alias
from orgserver.model.orgs import AuthKind
from orgserver.model.secret import Secret
from orgserver.salesforce import hosts
from orgserver.salesforce.auth import audiences
from orgserver.salesforce.auth.audiences import LOGIN_URL
from orgserver.services.orgs.import_plan import Candidate
from orgserver.services.orgs.registration import Registration

COLUMNS = (
    "alias",
    "client_id",
    "client_secret",
    "refresh_token",
    "login_url",
    "instance_url",
    "username",
    "private_key_file",
    "audience",
    "auth",
    "tag",
    "trust_host",
    *limit_columns.COLUMNS,
)
MAX_BYTES = 16 * 1024 * 1024
_REQUIRED = ("alias", "client_id")
_OTHER_NAMES = {"tags": "tag", "trust_hosts": "trust_host", **limit_columns.OTHER_NAMES}
_DELIMITERS = ",;\t"
_KINDS = ("refresh-token", "jwt", "client-credentials")
_REQUIRED_BY_KIND = {"refresh-token": "refresh_token", "jwt": "private_key_file", "client-credentials": "client_secret"}


class _Fault(Exception):
    """A row cannot be imported, because of one of its columns."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"{column}: {reason}")


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file, and what holds for all of its rows."""

    place: str
    """What people call it."""
    folder: Path
    """Where the files lie that it names."""
    trusted: tuple[str, ...] = ()


def candidates(data: bytes, csv_file: CsvFile) -> list[Candidate]:
    """Every row as a candidate, faulty ones with what is wrong; ConfigError if it is no such file."""
    rows = _rows(data, csv_file.place)
    columns = _columns(next(rows, (1, []))[1], csv_file.place)
    return [_candidate(number, _cells(cells, columns), csv_file) for number, cells in rows if any(cells)]


def _rows(data: bytes, place: str) -> Iterator[tuple[int, list[str]]]:
    """Every row with its number, cells stripped."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{place}, row {row}: not UTF-8", hint="save it as CSV UTF-8") from None
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    number = 0
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, ""), delimiter=delimiter, strict=True), 1):
            yield number, [cell.strip() for cell in cells]
    except csv.Error:
        reason = "not CSV; is a quotation mark missing?"
        raise ConfigError(f"{place}, row {number + 1}: {reason}") from None


def _columns(cells: list[str], place: str) -> list[str]:
    """Read the first row; a file without one may have a secret there, so no cell of it is shown."""
    columns = [cell.lower().replace(" ", "_").replace("-", "_") for cell in cells]
    columns = [_OTHER_NAMES.get(column, column) for column in columns]
    heading = f"the first row names the columns, of: {', '.join(COLUMNS)}"
    for number, column in enumerate(columns, 1):
        if column not in COLUMNS:
            near = names.nearest(column, COLUMNS)
            hint = f"did you mean {near}? {heading}" if near else heading
            raise ConfigError(f"{place}, row 1, column {number}: not the name of a column", hint=hint)
        if columns.index(column) != number - 1:
            raise ConfigError(f"{place}, row 1, column {number}: {column} is there already")
    lacking = [column for column in _REQUIRED if column not in columns]
    if lacking:
        raise ConfigError(f"{place}, row 1: no column {' and no '.join(lacking)}", hint=heading)
    return columns


def _cells(cells: list[str], columns: list[str]) -> dict[str, str] | None:
    """A row by its columns; None if it has more cells than there are columns."""
    if any(cells[len(columns) :]):
        return None
    return dict.fromkeys(COLUMNS, "") | dict(zip(columns, cells, strict=False))


def _candidate(number: int, row: dict[str, str] | None, csv_file: CsvFile) -> Candidate:
    where = f"row {number}"
    source = f"{csv_file.place}, {where}"
    try:
        registration = _registration(row, source, csv_file)
    except _Fault as fault:
        return Candidate(source, where, _shown_alias(row) or where, _never, problem=f"{where}, {fault}")

    async def prepare(alias: Alias) -> Registration:
        return replace(registration, alias=alias)

    return Candidate(
        source,
        where,
        registration.alias,
        prepare,
        username=registration.username,
        url=registration.instance_url or registration.login_url,
        token=registration.refresh_token,
        client_id=None if registration.refresh_token else registration.client_id,
        policy=registration.policy,
    )


async def _never(_alias: Alias) -> Registration:
    raise ConfigError("this row cannot be imported")


def _shown_alias(row: Mapping[str, str] | None) -> str:
    """The alias of a faulty row, if it is one: a cell that is not may hold anything."""
    try:
        return names.alias(row["alias"]) if row is not None else ""
    except ValueError:
        return ""


def _registration(row: Mapping[str, str] | None, source: str, csv_file: CsvFile) -> Registration:
    if row is None:
        raise _Fault("cells", "more than there are columns; is a quotation mark missing?")
    try:
        alias = names.alias(row["alias"])
    except ValueError as error:
        raise _Fault("alias", str(error)) from None
    if not row["client_id"]:
        raise _Fault("client_id", "empty")
    kind = _kind(row)
    trusted = tuple(dict.fromkeys((*csv_file.trusted, *_trusted(row["trust_host"]))))
    instance = _url(row, "instance_url", trusted)
    login = _url(row, "login_url", trusted) or instance or LOGIN_URL
    if kind == "client-credentials" and audiences.is_shared(login):
        raise _Fault("login_url", "client credentials need the org's own host")
    key = _private_key(csv_file.folder / row["private_key_file"]) if kind == "jwt" else None
    return Registration(
        alias=alias,
        client_id=_word(row, "client_id"),
        client_secret=None if kind == "jwt" else _secret(row, "client_secret"),
        login_url=login,
        source=source,
        auth=kind,
        refresh_token=_secret(row, "refresh_token") if kind == "refresh-token" else None,
        private_key=key,
        username=row["username"] or None if kind != "client-credentials" else None,
        audience=_audience(row, kind, login, trusted),
        instance_url=instance,
        trusted_hosts=trusted,
        tags=tuple(dict.fromkeys(_words(row["tag"]))),
        policy=_policy(row),
    )


def _kind(row: Mapping[str, str]) -> AuthKind:
    """What kind of credential a row has; the one that its cells make, where it does not say so."""
    kind = row["auth"].lower()
    if not kind:
        kind = "jwt" if row["private_key_file"] and not row["refresh_token"] else "refresh-token"
    if kind not in _KINDS:
        raise _Fault("auth", f"none of {', '.join(_KINDS)}")
    column = _REQUIRED_BY_KIND[kind]
    if not row[column]:
        raise _Fault(column, "empty")
    if kind == "jwt" and not row["username"]:
        raise _Fault("username", "empty")
    return cast("AuthKind", kind)


def _word(row: Mapping[str, str], column: str) -> str:
    text = row[column]
    if not text.isascii() or not text.isprintable() or " " in text:
        raise _Fault(column, "has a space or another character that none has")
    return text


def _secret(row: Mapping[str, str], column: str) -> Secret | None:
    text = _word(row, column)
    return Secret(text) if text else None


def _words(text: str) -> list[str]:
    return text.replace(",", " ").replace(";", " ").replace("|", " ").split()


def _trusted(text: str) -> tuple[str, ...]:
    try:
        return tuple(hosts.check_host(host) for host in _words(text))
    except ValueError as error:
        raise _Fault("trust_host", str(error)) from None


def _url(row: Mapping[str, str], column: str, trusted: tuple[str, ...]) -> str | None:
    """A cell's URL, if one is there and may be trusted. Which host it names is not said: it may be no host at all."""
    text = row[column]
    if not text:
        return None
    try:
        hosts.check_url(text, trusted)
    except ValueError as error:
        reason = str(error)
        if reason.startswith("the URL"):
            raise _Fault(column, reason) from None
        raise _Fault(column, f"its host {reason.partition(' ')[2]} (column trust_host allows one)") from None
    return text


def _audience(row: Mapping[str, str], kind: AuthKind, login: str, trusted: tuple[str, ...]) -> str | None:
    if not row["audience"]:
        return None
    if kind != "jwt":
        raise _Fault("audience", "only for auth jwt")
    try:
        return audiences.check(row["audience"], login, trusted)
    except ValueError as error:
        raise _Fault("audience", str(error)) from None


def _policy(row: Mapping[str, str]) -> Policy:
    try:
        return limit_columns.read_policy(row)
    except limit_columns.CellRefused as error:
        raise _Fault(error.column, str(error)) from None


def _private_key(path: Path) -> Secret:
    from orgserver.salesforce.auth import pem  # noqa: PLC0415  # cryptography's imports, for those who have such rows

    try:
        with path.open("rb") as file:
            return pem.read(file.read(pem.MAX_BYTES), datetime.now(UTC)).private_key
    except OSError as error:
        raise _Fault("private_key_file", (error.strerror or "cannot be read").lower()) from None
    except pem.KeyRefused as error:
        raise _Fault("private_key_file", str(error)) from None
    except ValueError:
        raise _Fault("private_key_file", "no file name") from None
