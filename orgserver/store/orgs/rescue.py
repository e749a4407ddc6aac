"""Token answers that could not be stored: sealed beside the database until the next start takes them in.

One file for each answer, ``<database>.rescue-<id>``, mode 0600, written whole under another name first. It holds JSON:
``{"v": 1, "org": row id, "fencing": of the refresh token that was spent, "sealed": base64}``, and for a person's login
its ``{"login": {"id", "principal"}}``. Sealed is a JSON object:
``refresh_token``, and either ``access_token`` and ``instance_url``, or, where the access token may not be used, the
``state`` that the org takes and its ``cause``. A rescued answer goes in only while the store has nothing newer, so
taking it in twice does no harm. The answer to an enrolment goes into its draft, with which the same command goes on.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orgserver.model.access.logins import LoginKey
from orgserver.model.errors import KeyProblem
from orgserver.model.names import RowId
from orgserver.model.orgs import AccessToken, OrgState
from orgserver.model.secret import Secret
from orgserver.private_files import write_whole
from orgserver.store.orgs import refreshes
from orgserver.store.orgs.registry import Orgs
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Context

logger = logging.getLogger("orgserver.tokens")
_MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Rescued:
    """One answer that waits."""

    path: Path
    login: LoginKey
    fencing: int
    sealed: bytes


class RescueFiles:
    """The files beside one store. Reading and writing them blocks: from a thread, please."""

    def __init__(self, database: Path, orgs: Orgs) -> None:
        self._database = database
        self._orgs = orgs

    def keep(
        self,
        login: LoginKey,
        fencing: int,
        refresh_token: Secret,
        access: AccessToken | None,
        *,
        state: OrgState | None = None,
        cause: str | None = None,
    ) -> Path:
        """Seal what an answer held and write it durably; OSError if even that fails."""
        facts: dict[str, str | None] = {"refresh_token": refresh_token.reveal()}
        if access is not None:
            facts |= {"access_token": access.token.reveal(), "instance_url": access.instance_url}
        if state is not None:
            facts |= {"state": state.value, "cause": cause}
        sealed = self._orgs.credentials.cached_data_key(login.id).seal(
            json.dumps(facts).encode(), _context(login, fencing)
        )
        whose = {"login": {"id": login.id, "principal": login.principal}} if login.is_own else {}
        note = {"v": 1, "org": login.row_id, **whose, "fencing": fencing, "sealed": base64.b64encode(sealed).decode()}
        name = f"{self._database.name}.rescue-{secrets.token_hex(8)}"
        path = self._database.with_name(name)
        write_whole(path, json.dumps(note).encode("ascii"))
        return path

    def waiting(self) -> list[Rescued]:
        """Every answer that waits; what is no rescue file of ours is left where it is."""
        rescued_answers: list[Rescued] = []
        for path in sorted(self._database.parent.glob(f"{self._database.name}.rescue-*")):
            try:
                rescued_answers.append(_read(path))
            except FileNotFoundError:
                continue  # another process took it in just now
            except (OSError, ValueError, KeyError, TypeError):
                logger.warning("%s is no rescue file that can be read; it is left alone", path.name)
        return rescued_answers

    def take_in(self, tx: Transaction, rescued: Rescued) -> bool | None:
        """Store a rescued answer: True; False if the store has gone on without it; None if it does not open."""
        login = rescued.login
        fencing = self._orgs.credentials.fencing_in(tx, login)
        if fencing is None:
            return False if login.is_own else self._into_draft(tx, rescued)
        if fencing > rescued.fencing:
            return False
        facts = self._opened(tx, rescued)
        if facts is None:
            return None
        refresh_token = Secret(facts["refresh_token"])
        if "access_token" in facts:
            access = AccessToken(Secret(facts["access_token"]), facts["instance_url"], rescued.fencing + 1)
            stored = self._orgs.store_refresh_in(tx, login, fencing, refresh_token, access)
        else:
            stored = self._orgs.credentials.rotate_in(tx, login, fencing, refresh_token, rescued.fencing + 1)
            state = OrgState(facts["state"])
            self._orgs.mark_in(tx, login, state=state, cause=facts["cause"], problem=None)
        refreshes.settle_leases_in(tx, login.id, rescued.fencing)
        return stored

    def _into_draft(self, tx: Transaction, rescued: Rescued) -> bool | None:
        """An enrolment goes on from the answer that it was not able to store."""
        draft = self._orgs.enrolments.read_in(tx, rescued.login.row_id)
        if draft is None or draft.facts["phase"] == "proven":
            return False
        facts = self._opened(tx, rescued)
        if facts is None:
            return None
        rotated = draft.facts["refresh_token"] not in (None, facts["refresh_token"])
        phase = {"phase": "proven"} if "access_token" in facts else {"phase": "given", "sent": False}
        self._orgs.enrolments.write_in(tx, replace(draft, facts=draft.facts | facts | phase | {"rotated": rotated}))
        return True

    def _opened(self, tx: Transaction, rescued: Rescued) -> dict[str, str] | None:
        try:
            key = self._orgs.credentials.data_key_in(tx, rescued.login.id)
            plain = key.open(rescued.sealed, _context(rescued.login, rescued.fencing))
        except KeyProblem as error:
            logger.warning("a rescued token answer does not open and is left alone: %s", error)
            return None
        facts: dict[str, str] = json.loads(plain)
        return facts


def _read(path: Path) -> Rescued:
    if path.is_symlink() or path.stat().st_size > _MAX_BYTES:
        raise ValueError("no file that we wrote")
    note = json.loads(path.read_text("ascii"))
    sealed = base64.b64decode(note["sealed"], validate=True)
    return Rescued(path, _read_login(note), int(note["fencing"]), sealed)


def _read_login(note: dict[str, Any]) -> LoginKey:
    """Whose answer it is; one that names no login is of that which all share."""
    row_id, own = RowId(str(note["org"])), note.get("login")
    return LoginKey(row_id, RowId(str(own["id"])), str(own["principal"])) if own else LoginKey.shared(row_id)


def _context(login: LoginKey, fencing: int) -> Context:
    holder = f":{login.row_id}:{login.principal}" if login.is_own else ""
    return Context(login.id, "rescue", "tokens", f"{fencing}{holder}")
