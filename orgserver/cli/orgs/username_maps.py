"""``--username-from map FILE``: which Salesforce user each principal is, as an administrator has written it down."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from orgserver.cli.policies.strict_yaml import Fault, compose, decode, line_of
from orgserver.model.access import principals
from orgserver.model.errors import ConfigError

MAX_BYTES = 4 * 1024 * 1024
_NOUN = "a map of users"
_SHAPE = "each line is PRINCIPAL: USERNAME"
_TITLES = ("principal", "username")


def read_file(file: Path) -> Mapping[str, str]:
    """The usernames of a file, by principal; ConfigError is one line that names the fault's."""
    try:
        with file.open("rb") as reader:
            data = reader.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "no file name").lower()
        raise ConfigError(f"{file}: {reason}", hint="give --username-from map FILE") from None
    try:
        text = decode(data, MAX_BYTES, _NOUN)
        pairs = _csv_pairs(text) if file.suffix.lower() == ".csv" else _yaml_pairs(text)
        return check_usernames(pairs)
    except Fault as fault:
        raise fault.at(file.name) from None


def check_usernames(pairs: Iterable[tuple[int, str, str]]) -> Mapping[str, str]:
    """Usernames by principal, of which each is there once; Fault names the line of one that cannot be."""
    usernames: dict[str, str] = {}
    lines: dict[str, int] = {}
    owners: dict[str, str] = {}
    for line, principal, username in pairs:
        try:
            name = principals.read_principal_name(principal)
        except ValueError as error:
            raise Fault(line, str(error)) from None
        if "@" not in username or username != username.strip():
            raise Fault(line, f"{name}: a Salesforce username looks like an address: ada@acme.com")
        if name in usernames:
            raise Fault(line, f"{name} is there already, in line {lines[name]}")
        other = owners.setdefault(username.lower(), name)
        if other != name:
            raise Fault(line, f"{name} and {other} cannot be the same Salesforce user")
        usernames[name], lines[name] = username, line
    return usernames


def _yaml_pairs(text: str) -> Iterable[tuple[int, str, str]]:
    root = compose(text, 1, _SHAPE)
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise Fault(line_of(root), _SHAPE)
    for key, value in root.value:
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            raise Fault(line_of(key), _SHAPE)
        yield line_of(key), key.value, value.value


def _csv_pairs(text: str) -> Iterable[tuple[int, str, str]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or (reader.line_num == 1 and tuple(cell.lower() for cell in cells) == _TITLES):
                continue
            if len(cells) != len(_TITLES):
                raise Fault(reader.line_num, "each row has a principal and a username")
            yield reader.line_num, cells[0], cells[1]
    except csv.Error as error:
        raise Fault(reader.line_num, f"not CSV: {error}") from None
