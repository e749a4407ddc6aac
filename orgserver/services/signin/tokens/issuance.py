"""What one request to the token endpoint reads, writes and answers: codes, tokens, their session, and the entries.

All of it happens in the transaction of the request. What a request has spent stays spent, whatever comes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orgserver.model.access.bearer_tokens import ACCESS, CODE, REFRESH, is_token, make_token
from orgserver.model.access.principals import Principal
from orgserver.model.audit import Action
from orgserver.model.digests import digest_text
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.services.signin.entries import SIGN_IN, record_in
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.people.identities import follow_groups_in
from orgserver.services.signin.people.sessions import record_groups_in
from orgserver.store.people.changes import is_enabled_in
from orgserver.store.session import Store
from orgserver.store.signin import tokens
from orgserver.store.signin.rows import Session
from orgserver.store.signin.sessions import Sessions
from orgserver.store.signin.tokens import StoredToken
from orgserver.store.transaction import Transaction

SECOND_US = 1_000_000
ACCESS_SECONDS = 3_600
UNUSED_SECONDS = 30 * 24 * 3_600
"""A session that the provider vouches for at each refresh ends when nobody has refreshed it for so long."""
CODE_REPLAYED = "code replayed"
REFRESH_REUSED = "refresh token reused"
CODE_REFUSED = "code shown without its proof"
TOO_MANY_OF_CLIENT = "too many of this client"


class TokenBody(dict[str, Any]):
    """What a client gets: whoever prints it learns nothing."""

    def __repr__(self) -> str:
        return "TokenBody(…)"


@dataclass(frozen=True, slots=True)
class OAuthAnswer:
    """What a client is answered: JSON."""

    status: int
    body: Mapping[str, Any]
    retry_after: float | None = None
    """In how many seconds it may come again, where it is told so."""

    @property
    def error(self) -> str | None:
        """Its error's code; None where there is none."""
        code: str | None = self.body.get("error")
        return code


def make_error_answer(status: int, error: str, description: str) -> OAuthAnswer:
    """A refusal in OAuth's form."""
    return OAuthAnswer(status, {"error": error, "error_description": description})


class Issuance:
    """The store's side of one request. ``attempt`` is what it spends tokens by."""

    def __init__(self, tx: Transaction, sessions: Sessions, store: Store, options: SignInOptions, attempt: str) -> None:
        self._tx = tx
        self._sessions = sessions
        self._store = store
        self._log = store.audit
        self._options = options
        self._attempt = attempt
        self.provider_token: Secret | None = None
        """The newest one, where the provider gave one for this request."""
        self.principal: str | None = None
        """Whose code or token it is, once that is known."""
        self._code: StoredToken | None = None
        self._session: Session | None = None
        self._expires_at = 0
        self._action = Action.KEY

    def take_code(self, text: str, client_id: str) -> StoredToken | None:
        """Spend a code that its own client shows; one that was spent before ends its session."""
        token = self._find(text, CODE, client_id)
        if token is None:
            return None
        if token.used_at is not None:
            self.end_session(token.session, CODE_REPLAYED)
            return None
        self.spend(token)
        self._code = token
        return token if self._is_good(token) and token.session.redeemed_at is None else None

    def refuse_code(self) -> None:
        """A code that gave nothing will give nothing any more: end what it was for, which nobody has seen."""
        if self._code is not None:
            self.end_session(self._code.session, CODE_REFUSED)

    def find_refresh_token(self, text: str, client_id: str) -> StoredToken | None:
        """A refresh token that its own client shows; one that another attempt has spent ends its session."""
        token = self._find(text, REFRESH, client_id)
        if token is None:
            return None
        if token.used_at is not None and token.used_by != self._attempt:
            self.end_session(token.session, REFRESH_REUSED)
            return None
        return token if self._is_good(token) and token.session.redeemed_at is not None else None

    def find_token(self, text: str) -> StoredToken | None:
        """An access or refresh token, whosever it is."""
        return next(filter(None, (self._find(text, prefix) for prefix in (ACCESS, REFRESH))), None)

    def spend(self, token: StoredToken) -> None:
        """Let nobody use a code or refresh token once more."""
        tokens.spend_in(self._tx, token.digest, self._attempt)

    def begin_session(self, code: StoredToken) -> bool:
        """Begin the session of a code; False if it is over."""
        session = code.session
        end = session.created_at + int(self._options.session_hours * 3_600 * SECOND_US)
        self._set_session(session, self._find_end(session, end), Action.KEY)
        if not self._sessions.redeem_in(self._tx, session.id, self._expires_at):
            return False
        for surplus in self._sessions.find_surplus_in(self._tx, session):
            self.end_session(surplus, TOO_MANY_OF_CLIENT)
        return True

    def renew_session(self, refresh_token: StoredToken) -> bool:
        """Lengthen the session of a refresh token, and end its access tokens; False if it is over."""
        session = refresh_token.session
        self._set_session(session, self._find_end(session, session.expires_at), Action.REFRESH)
        tokens.drop_access_in(self._tx, session.id)
        return self._sessions.renew_in(
            self._tx, session.id, provider_token=self.provider_token, expires_at=self._expires_at
        )

    def end_session(self, session: Session, why: str, tool: str = SIGN_IN) -> None:
        """End one, on record; one that is over stays as it is."""
        caller = Caller(Principal(session.principal), "http")
        with record_groups_in(self._tx, self._store, caller, tool, session.principal):
            if self._sessions.end_in(self._tx, session.id, why):
                self._record(session, Action.KEY, tool, why=why)

    def set_groups(self, principal: str, values: Iterable[str]) -> None:
        """Have a principal follow the claim that holds groups, on record."""
        follow_groups_in(self._tx, self._store, principal, values)

    def make_tokens(self, scopes: Iterable[str]) -> TokenBody:
        """An access token for some of the session's scopes, and the next refresh token, for all of them."""
        session, scopes = self._session, tuple(scopes)
        assert session is not None  # noqa: S101  # it has begun or was lengthened
        seconds = min(ACCESS_SECONDS, max((self._expires_at - self._tx.now) // SECOND_US, 1))
        access = self._add("access", session, scopes, self._tx.now + seconds * SECOND_US)
        refresh = self._add("refresh", session, session.scopes, self._expires_at)
        self._record(session, self._action, SIGN_IN, scopes=" ".join(scopes))
        return TokenBody(
            access_token=access.reveal(),
            token_type="Bearer",  # noqa: S106  # its kind
            expires_in=seconds,
            refresh_token=refresh.reveal(),
            scope=" ".join(scopes),
        )

    def _add(self, kind: tokens.Kind, session: Session, scopes: Iterable[str], expires_at: int) -> Secret:
        token = make_token(ACCESS if kind == "access" else REFRESH)
        tokens.add_in(self._tx, kind, digest_text(token.reveal()), session.id, scopes, expires_at)
        return token

    def _find(self, text: str, prefix: str, client_id: str | None = None) -> StoredToken | None:
        """A token of this server and of one client; None too for one that is another's."""
        token = tokens.find_in(self._tx, digest_text(text)) if is_token(text, prefix) else None
        if token is None or token.session.resource != self._options.resource:
            return None
        if client_id is not None and token.session.client_id != client_id:
            return None
        self.principal = token.session.principal
        return token

    def _is_good(self, token: StoredToken) -> bool:
        """Whether neither it nor its session is over, and its principal may use anything."""
        session, now = token.session, self._tx.now
        is_live = session.ended_at is None and now < session.expires_at and now < token.expires_at
        return is_live and is_enabled_in(self._tx, session.principal)

    def _set_session(self, session: Session, expires_at: int, action: Action) -> None:
        self._session, self._expires_at, self._action = session, expires_at, action

    def _find_end(self, session: Session, otherwise: int) -> int:
        """When a session runs out that is used now; only one that the provider vouches for is lengthened."""
        return self._tx.now + UNUSED_SECONDS * SECOND_US if session.has_provider_token else otherwise

    def _record(self, session: Session, action: Action, tool: str, **facts: str) -> None:
        about = {"session": session.id, "client": session.client_id, **facts}
        record_in(self._tx, self._log, session.principal, action, tool, object_name=session.principal, facts=about)
