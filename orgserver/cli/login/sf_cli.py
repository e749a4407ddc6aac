"""What the ``sf`` command gives us for a person who is logged in there. All that it prints is a secret and stays here.

``sf org auth show-sfdx-auth-url`` prints the URL and sends nothing. Versions that do not have it yet show the URL in
``sf org display --verbose``, which calls the org.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from orgserver.cli import confirmation
from orgserver.cli.login.credentials import CredentialParts
from orgserver.cli.output import tell
from orgserver.model.errors import ConfigError
from orgserver.salesforce.auth import sfdx
from orgserver.salesforce.auth.sfdx import AuthUrl

PLACE = "the sf command"
SECONDS = 60.0
"""How long ``sf`` may take for one answer."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+'-]{0,127}")
_MAX_INPUT = 1024 * 1024
_MAX_OUTPUT = 16 * 1024 * 1024
_NO_COMMAND = 127
_ALONE = "try it by itself: sf org list auth"
_PRIVATE_VARIABLES = ("ORGSERVER_", "SALESFORCE_")
"""How variables begin that sf does not get: they may hold our secrets."""
_ENVIRONMENT = {
    "FORCE_COLOR": "0",
    "SF_AUTOUPDATE_DISABLE": "true",
    "SF_DISABLE_LOG_FILE": "true",
    "SF_JSON_TO_STDOUT": "true",
}


@dataclass(frozen=True, slots=True)
class SfOrg:
    """One log-in that ``sf`` keeps."""

    username: str
    alias: str
    org_id: str
    instance_url: str
    method: str
    """``web`` wherever there is a refresh token; otherwise ``jwt`` or ``token``."""
    fault: str | None
    """Why ``sf`` cannot use it itself."""


def parts_from_stdin() -> CredentialParts:
    """Read a ``force://`` URL from standard input, or ``sf``'s JSON with one; ConfigError shows nothing of it."""
    if sys.stdin.isatty():
        text = click.prompt("force:// URL", hide_input=True, default="", show_default=False, err=True)
    else:
        text = sys.stdin.buffer.read(_MAX_INPUT).decode("utf-8", "replace")
    try:
        return _parts(sfdx.read(text), "standard input")
    except ValueError as error:
        hint = "print one with: sf org auth show-sfdx-auth-url --target-org NAME --json"
        raise ConfigError(f"standard input holds no SFDX auth URL: {error}", hint=hint) from None


def parts_of_org(name: str, *, yes: bool) -> CredentialParts:
    """Take the credential of an org that ``sf`` is logged in to, once a person has agreed."""
    if not is_name(name):
        raise click.UsageError("--from-sf-cli takes the username or an alias of an org that the sf command knows")
    _program()
    if not yes:
        agree(f"Take over the log-in of {name} from {PLACE}?", PLACE, undone=f"{name} was not taken")
    return _parts(asyncio.run(auth_url(name)), f"sf CLI ({name})")


def is_name(text: str) -> bool:
    """Tell whether this can name an org to ``sf``, and can be nothing but a name."""
    return _NAME.fullmatch(text) is not None


def agree(question: str, place: str, *, undone: str, here: bool = True) -> None:
    """Ask; Failure when the answer is no, ConfigError when nobody is here to give one."""
    death = f"where refresh token rotation is on, the copies in {place} die with it, and using one would revoke ours"
    if not here or not confirmation.is_somebody_here():
        raise confirmation.nobody(undone, "add --yes", f"; {death}")
    tell(f"{death[0].upper()}{death[1:]}.")
    confirmation.agree(question, undone=undone)


async def auth_url(name: str, *, seconds: float = SECONDS) -> AuthUrl:
    """Get the URL of one org; ConfigError says in one line why there is none."""
    target = f"--target-org={name}"
    code, answer = await _ask("org", "auth", "show-sfdx-auth-url", target, seconds=seconds)
    if code == _NO_COMMAND or (code and answer is None):
        code, answer = await _ask("org", "display", "--verbose", target, seconds=seconds, show=True)
    if code or answer is None:
        raise _failed(name, code, answer)
    try:
        url = sfdx.url_in(answer)
    except ValueError:
        hint = "update it (sf update), so that it has: sf org auth show-sfdx-auth-url"
        raise ConfigError(f"the sf command hides the secrets of {name}", hint=hint) from None
    if url is None:
        raise _no_token(name)
    try:
        return sfdx.parse(url)
    except ValueError as error:
        raise ConfigError(f"the sf command printed an auth URL that cannot be read: {error}") from None


async def list_orgs(*, seconds: float = SECONDS) -> list[SfOrg]:
    """Every log-in that ``sf`` keeps, without secrets; nothing is sent to an org for it."""
    code, answer = await _ask("org", "list", "auth", seconds=seconds)
    result = answer.get("result") if answer is not None else None
    if code or not isinstance(result, list):
        raise _failed("its orgs", code, answer)
    return [_org(entry) for entry in result if isinstance(entry, dict) and _text(entry, "username")]


def _org(entry: dict[str, Any]) -> SfOrg:
    fault = "the sf command cannot read its own copy" if entry.get("error") else None
    if entry.get("isExpired") is True:
        fault = "this scratch org has expired"
    return SfOrg(
        username=_text(entry, "username"),
        alias=_text(entry, "alias").partition(",")[0],  # sf joins several by commas
        org_id=_text(entry, "orgId"),
        instance_url=_text(entry, "instanceUrl"),
        method=_text(entry, "oauthMethod"),
        fault=fault,
    )


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def _parts(url: AuthUrl, source: str) -> CredentialParts:
    parts = CredentialParts()
    parts.add("client_id", url.client_id, source)
    if url.client_secret is not None:
        parts.add("client_secret", url.client_secret.reveal(), source)
    parts.add("refresh_token", url.refresh_token.reveal(), source)
    parts.add("login_url", url.login_url, source)
    return parts


def _no_token(name: str) -> ConfigError:
    return ConfigError(
        f"the sf command has no refresh token for {name}: it was logged in to with an access token or a JWT",
        hint="log in there with: sf org login web; or register the org with a credential of its own",
    )


def _failed(name: str, code: int, answer: dict[str, Any] | None) -> ConfigError:
    """What went wrong, by the name of ``sf``'s error alone: its message may hold anything."""
    if answer is None:
        return ConfigError("the sf command printed no JSON", hint=f"it may be too old: sf update; or {_ALONE}")
    error = _text(answer, "name")
    if error == "NoRefreshTokenError":
        return _no_token(name)
    if "NotFound" in error or "NoOrg" in error:
        return ConfigError(f"the sf command knows no org {name}", hint="those it knows: sf org list auth")
    reason = f"{error}, exit {code}" if re.fullmatch(r"[A-Za-z]{1,60}", error) else f"exit {code}"
    return ConfigError(f"the sf command failed ({reason})", hint=_ALONE)


def _program() -> str:
    """The full path of ``sf`` (``sf.cmd`` on Windows); one that lies in the current folder is not taken."""
    path = shutil.which("sf")
    if path is None or not Path(path).is_absolute():
        raise ConfigError(
            "the sf command is not installed, or not on the PATH",
            hint="get it from https://developer.salesforce.com/tools/salesforcecli",
        )
    return path


async def _ask(*words: str, seconds: float, show: bool = False) -> tuple[int, dict[str, Any] | None]:
    """Run ``sf`` without a shell; its exit code, and its JSON if it printed any."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(_PRIVATE_VARIABLES)}
    if show:
        environment["SF_TEMP_SHOW_SECRETS"] = "true"
    try:
        process = await asyncio.create_subprocess_exec(
            _program(),
            *words,
            "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment | _ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"the sf command cannot be run: {error.strerror}") from None
    try:
        async with asyncio.timeout(seconds):
            output = await _output(process)
            return await process.wait(), _json(output)
    except TimeoutError:
        raise ConfigError(f"the sf command gave no answer in {seconds:g} seconds", hint=_ALONE) from None
    finally:
        await _end(process)


async def _output(process: asyncio.subprocess.Process) -> bytes:
    output = bytearray()
    if process.stdout is None:
        return b""
    while part := await process.stdout.read(65_536):
        output += part
        if len(output) > _MAX_OUTPUT:
            raise ConfigError("the sf command printed too much", hint=_ALONE)
    return bytes(output)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what still runs or holds the output, with its children: ``sf`` is often a script that starts Node."""
    if process.returncode is not None and process.stdout is not None and process.stdout.at_eof():
        return
    with suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _json(output: bytes) -> dict[str, Any] | None:
    """The JSON object that ``sf`` printed, after whatever warning Node put before it."""
    text = output.decode("utf-8", "replace")
    try:
        answer = json.loads(text[max(text.find("{"), 0) :])
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
