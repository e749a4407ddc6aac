"""Where the orgs of an import come from: the ``sf`` command or a CSV file, as candidates of the one form."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orgserver.cli.login import sf_cli
from orgserver.cli.login.credentials import warn_if_readable
from orgserver.cli.login.sf_cli import SfOrg
from orgserver.cli.orgs import csv_rows
from orgserver.model import names
from orgserver.model.access.policies import Policy
from orgserver.model.errors import ConfigError
from orgserver.model.names import Alias, OrgId
from orgserver.salesforce import hosts
from orgserver.services.orgs.import_plan import Candidate
from orgserver.services.orgs.registration import Registration

STDIN = "-"
_METHODS = {"jwt": "a JWT", "token": "an access token"}


@dataclass(frozen=True, slots=True)
class Common:
    """What holds for every org of an import."""

    trusted: tuple[str, ...]
    tags: tuple[str, ...]
    policy: Policy

    def added_to(self, registration: Registration) -> Registration:
        """A registration with all of it; a limit is added, never taken away."""
        return replace(
            registration,
            trusted_hosts=tuple(dict.fromkeys((*self.trusted, *registration.trusted_hosts))),
            tags=tuple(dict.fromkeys((*self.tags, *registration.tags))),
            policy=self.limit(registration.policy),
        )

    def limit(self, policy: Policy) -> Policy:
        """A policy with these limits, too; of numbers that need a person, only those that were said count."""
        numbers = [number for number in (self.policy.confirm_above, policy.confirm_above) if number is not None]
        return replace(self.policy.strictest(policy), confirm_above=min(numbers, default=None))


async def from_sf(common: Common) -> list[Candidate]:
    """Every org that ``sf`` is logged in to. Its secrets are asked for one org at a time, when its turn comes."""
    turn = asyncio.Lock()
    return [_sf_candidate(org, common, turn) for org in await sf_cli.list_orgs()]


def from_csv(file: str, common: Common) -> list[Candidate]:
    """Every row of a file."""
    folder = Path() if file == STDIN else Path(file).parent
    csv_file = csv_rows.CsvFile(place_of(file), folder, common.trusted)
    return [_with(common, each) for each in csv_rows.candidates(_read(file), csv_file)]


def place_of(file: str | None) -> str:
    """What people call a source."""
    if file is None:
        return sf_cli.PLACE
    return "standard input" if file == STDIN else Path(file).name


def _sf_candidate(org: SfOrg, common: Common, turn: asyncio.Lock) -> Candidate:
    source = f"sf CLI ({org.username})"

    async def prepare(alias: Alias) -> Registration:
        async with turn:  # sf is a large program: one at a time
            url = await sf_cli.auth_url(org.username)
        registration = Registration(
            alias=alias,
            client_id=url.client_id,
            client_secret=url.client_secret,
            login_url=url.login_url,
            source=source,
            refresh_token=url.refresh_token,
        )
        return common.added_to(registration)

    return Candidate(
        source,
        org.username,
        org.alias or org.username,
        prepare,
        exact=False,
        username=org.username,
        org_id=_org_id(org.org_id),
        url=org.instance_url,
        problem=_sf_problem(org, common.trusted),
        policy=common.policy,
    )


def _sf_problem(org: SfOrg, trusted: Sequence[str]) -> str | None:
    if org.fault:
        return org.fault
    if org.method in _METHODS:
        return f"it was logged in to with {_METHODS[org.method]}, so the sf command has no refresh token"
    if not sf_cli.is_name(org.username):
        return "its username has characters that are not handed to another program"
    try:
        if org.instance_url:
            hosts.check_url(org.instance_url, trusted)
    except hosts.ForeignHost as error:
        return f"{error} (--trust-host allows one)"
    except ValueError as error:
        return str(error)
    return None


def _org_id(text: str) -> OrgId | None:
    try:
        return names.org_id(text)
    except ValueError:
        return None


def _with(common: Common, row: Candidate) -> Candidate:
    async def prepare(alias: Alias) -> Registration:
        return common.added_to(await row.prepare(alias))

    return replace(row, prepare=prepare, policy=common.limit(row.policy))


def _read(file: str) -> bytes:
    if file == STDIN:
        data = sys.stdin.buffer.read(csv_rows.MAX_BYTES + 1)
    else:
        try:
            with Path(file).open("rb") as reader:
                warn_if_readable(file, os.fstat(reader.fileno()).st_mode)
                data = reader.read(csv_rows.MAX_BYTES + 1)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise ConfigError(
                f"{file}: {reason}", hint="give the path of a CSV file, or - for standard input"
            ) from None
    if len(data) > csv_rows.MAX_BYTES:
        raise ConfigError(f"{place_of(file)} is larger than {csv_rows.MAX_BYTES // 1024**2} MiB")
    return data
