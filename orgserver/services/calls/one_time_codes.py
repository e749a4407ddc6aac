"""One-time codes (TOTP, RFC 6238) by which a person shows at a terminal that it is a person: set up, and spent.

A code serves once, also across processes: the store keeps the time step of the newest that was used. Codes of the step
before and after are taken, for clocks differ. Five wrong ones close approvals for 15 minutes.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import ConfigError, OperatorError
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store.calls import one_time_codes
from orgserver.store.calls.one_time_codes import CodeState
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction, read_clock
from orgserver.vault.ring import retry_behind

MAX_WRONG = 5
CLOSED_US = 15 * 60 * 1_000_000
SETUP = "approvals setup"
"""The command that sets codes up, as the audit log calls it."""
_STEP_US = 30 * 1_000_000
_DRIFT = (-1, 0, 1)
"""In steps: how far the clocks of this machine and of the person's device may be apart (RFC 6238, 5.2)."""
_FORM = re.compile(r"[0-9]{6}")
_ISSUER = "orgserver"


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What became of a code, and how things stand after it."""

    result: Literal["right", "used", "wrong", "closed"]
    state: CodeState


class OneTimeCodes:
    """The one-time codes of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._vault = store.wrapped_keys.vault

    async def state(self) -> CodeState | None:
        """What is set up, None if nothing is; OperatorError if it was and somebody took it out of the store."""

        async def read() -> CodeState | None:
            async with self._store.database.reading() as connection:
                return await one_time_codes.current_state(connection, self._vault, self._store.id)

        state = await retry_behind(read)
        if state is None:
            await self._refuse_if_gone()
        return state

    async def spend(self, caller: Caller, text: str, command: str) -> None:
        """Use a code that a person typed for a command; OperatorError if it does not serve, a wrong one on record."""
        code = read_code(text)
        verdict = await retry_behind(
            lambda: self._store.database.write(lambda tx: self._spend_in(tx, caller, code, command))
        )
        if verdict is None:
            raise OperatorError("no one-time code is set up any more", hint=f"orgserver {SETUP} sets one up")
        if verdict.result == "used":
            raise OperatorError("this one-time code was used already", hint="wait for the next one: half a minute")
        refuse_if_closed(verdict.state)
        if verdict.result == "wrong":
            left = MAX_WRONG - verdict.state.wrong
            raise OperatorError(
                f"the one-time code is wrong; {left} more such and approvals are closed for 15 minutes",
                hint="take the newest one; if it is, compare the clocks of this machine and of your device",
            )

    async def set_up(self, caller: Caller, secret: Secret, text: str, before: CodeState | None) -> bool:
        """Let codes of a new secret count from now on, if the first is right; ``before`` is what they replace."""
        code = read_code(text)
        return await retry_behind(
            lambda: self._store.database.write(lambda tx: self._set_up_in(tx, caller, secret, code, before))
        )

    def _spend_in(self, tx: Transaction, caller: Caller, code: str, command: str) -> _Verdict | None:
        state = one_time_codes.state_in(tx, self._vault, self._store.id)
        if state is None or state.closed_until > tx.now:
            return _Verdict("closed", state) if state is not None else None
        steps = _steps(state.secret, code, tx.now)
        new = [step for step in steps if step > state.last_step]
        if steps and not new:
            return _Verdict("used", state)
        if new:
            verdict = _Verdict("right", replace(state, last_step=new[0], wrong=0))
        else:
            wrong = state.wrong + 1
            closes = wrong == MAX_WRONG
            until = tx.now + CLOSED_US if closes else 0
            verdict = _Verdict("wrong", replace(state, wrong=0 if closes else wrong, closed_until=until))
            completion = Completion(Outcome.DENIED, error_code="APPROVALS_CLOSED" if closes else "WRONG_CODE")
            self._store.audit.record_in(tx, _intent(caller, command), completion)
        one_time_codes.save_in(tx, self._vault, self._store.id, verdict.state)
        return verdict

    def _set_up_in(self, tx: Transaction, caller: Caller, secret: Secret, code: str, before: CodeState | None) -> bool:
        now = one_time_codes.state_in(tx, self._vault, self._store.id)
        if (now.set_up_at if now else None) != (before.set_up_at if before else None):
            raise OperatorError(
                "one-time codes were set up at another terminal meanwhile, and those count",
                hint=f"orgserver {SETUP} replaces them; it asks for a code of theirs",
            )
        steps = _steps(secret, code, tx.now)
        if not steps:
            return False
        one_time_codes.save_in(tx, self._vault, self._store.id, CodeState(secret, tx.now, steps[0]))
        self._store.audit.record_in(tx, _intent(caller, SETUP, Action.KEY), Completion(Outcome.SUCCEEDED))
        return True

    async def _refuse_if_gone(self) -> None:
        """Whoever can write the database, without a key, must not be able to switch codes off by deleting a row."""
        audit_log = AuditLogReader(self._store)
        setups = await audit_log.newest(EntryFilter(tool=SETUP, action=Action.KEY, outcome=Outcome.SUCCEEDED.value), 1)
        if setups:
            raise OperatorError(
                f"one-time codes were set up on {setups[0].time:%Y-%m-%d}, and the store has lost their secret: "
                "it was changed from outside",
                hint="restore it from a backup: orgserver restore FILE",
            )


def new_secret() -> Secret:
    """A random secret of 160 bits, in base32."""
    import pyotp  # noqa: PLC0415  # only where codes are used

    return Secret(pyotp.random_base32())


def otpauth_uri(secret: Secret, name: str) -> Secret:
    """What the QR code says: the secret, for whom it is, and of which program."""
    import pyotp  # noqa: PLC0415  # as above

    return Secret(pyotp.TOTP(secret.reveal()).provisioning_uri(name=name, issuer_name=_ISSUER))


def refuse_if_closed(state: CodeState, now: int | None = None) -> None:
    """OperatorError while wrong codes keep approvals closed."""
    if state.closed_until > (read_clock() if now is None else now):
        until = datetime.fromtimestamp(state.closed_until / 1_000_000, UTC)
        raise OperatorError(
            f"{MAX_WRONG} one-time codes were wrong, so approvals are closed until {until:%H:%M:%S} UTC",
            hint="orgserver audit list --outcome denied shows who tried",
        )


def read_code(text: str) -> str:
    """A code as it was typed, blanks left out; ConfigError if it has not the form of one: that is not a wrong one."""
    code = re.sub(r"[\s-]", "", text)
    if _FORM.fullmatch(code) is None:
        raise ConfigError("a one-time code has six digits", hint="type the one that your authenticator app shows now")
    return code


def _steps(secret: Secret, code: str, now: int) -> list[int]:
    """The time steps near this instant whose code this is, the oldest first."""
    import pyotp  # noqa: PLC0415  # as above

    codes = pyotp.HOTP(secret.reveal())
    near = [now // _STEP_US + drift for drift in _DRIFT]
    return [step for step in near if hmac.compare_digest(codes.at(step), code)]


def _intent(caller: Caller, command: str, action: Action = Action.POLICY) -> Intent:
    return Intent(new_id(), caller.principal.name, caller.transport, action, tool=command, label=caller.label)
