"""Secrets by reference: read where a variable, a file or a program has them, when an org is first enrolled."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from orgserver.cli.login.credentials import warn_if_readable
from orgserver.config import Settings
from orgserver.model.access.policies import Policy
from orgserver.model.errors import ConfigError
from orgserver.model.secret import Secret
from orgserver.salesforce.auth.audiences import LOGIN_URL
from orgserver.services.configuration.declarations import OrgDeclaration, SecretReference
from orgserver.services.orgs.identities import IdentityChange
from orgserver.services.orgs.registration import Registration

_MAX_BYTES = 64 * 1024
_SECONDS = 30


def read_registration(declaration: OrgDeclaration, settings: Settings, *, allow_commands: bool) -> Registration:
    """All that is needed to register an org of the files; ConfigError names the place of what cannot be read."""
    assert declaration.client_id is not None  # noqa: S101  # or it would have a problem
    assert declaration.auth is not None  # noqa: S101  # as above
    secrets = {
        name: _read(reference, name, settings, allow_commands=allow_commands)
        for name, reference in declaration.secrets.items()
    }
    return Registration(
        alias=declaration.alias,
        client_id=declaration.client_id,
        client_secret=secrets.get("client_secret"),
        login_url=declaration.login_url or declaration.instance_url or LOGIN_URL,
        source=str(declaration.place),
        auth=declaration.auth,
        refresh_token=secrets.get("refresh_token"),
        private_key=secrets.get("private_key"),
        username=declaration.username,
        audience=declaration.audience,
        instance_url=declaration.instance_url,
        api_version=declaration.api_version,
        trusted_hosts=declaration.trusted_hosts or (),
        tags=declaration.tags,
        policy=declaration.policy or Policy(),
        identity=_identity_of(declaration),
    )


def _identity_of(declaration: OrgDeclaration) -> IdentityChange | None:
    if declaration.identity is None and declaration.username_from is None:
        return None
    return IdentityChange(declaration.identity or "shared", declaration.username_from, declaration.usernames)


def _read(reference: SecretReference, name: str, settings: Settings, *, allow_commands: bool) -> Secret:
    data = _bytes_of(reference, settings, allow_commands=allow_commands)
    if len(data) > _MAX_BYTES:
        raise _refusal(reference, "is too long to be a secret")
    if name == "private_key":
        from orgserver.cli.login import jwt_key  # noqa: PLC0415  # RSA is imported where it is used

        return jwt_key.read(data, f"{reference.place}: {reference}")
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise _refusal(reference, "has a character that no secret has") from None
    if not text:
        raise _refusal(reference, "is empty")
    if not text.isprintable() or " " in text:
        raise _refusal(reference, "has a space or another character that no secret has")
    return Secret(text)


def _bytes_of(reference: SecretReference, settings: Settings, *, allow_commands: bool) -> bytes:
    if reference.kind == "env":
        value = os.environ.get(reference.target)
        if value is None:
            raise _refusal(reference, "is not set")
        return value.encode("utf-8", "replace")
    if reference.kind == "file":
        return _read_file(reference, settings)
    if not allow_commands:
        raise _refusal(reference, "is a program", "apply with --allow-commands runs it, if you trust the files")
    return _run(reference)


def _read_file(reference: SecretReference, settings: Settings) -> bytes:
    try:
        path = Path(reference.folder, Path(reference.target).expanduser())
        if not stat.S_ISREG(path.stat().st_mode):
            raise _refusal(reference, "is not a file")
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if _is_ours(status, settings):
                raise _refusal(reference, "holds a secret of orgserver's own")
            warn_if_readable(path, status.st_mode)
            return file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise _refusal(reference, (error.strerror or "cannot be read").lower()) from None
    except (ValueError, RuntimeError):  # a NUL in its name, or the home of nobody
        raise _refusal(reference, "is no file name") from None


def _is_ours(status: os.stat_result, settings: Settings) -> bool:
    """Whether a file is that of the master key or of the database's password, by whatever path."""
    ours = (settings.master_key_file or settings.home / "master.key", settings.database_password_file)
    for path in filter(None, ours):
        with suppress(OSError):
            if os.path.samestat(status, path.stat()):
                return True
    return False


def _run(reference: SecretReference) -> bytes:
    """Run a program as an argument list, without a shell. What it says on standard error may hold secrets."""
    try:
        words = shlex.split(reference.target)
        done = subprocess.run(  # noqa: S603  # whoever applies has allowed it, by --allow-commands
            words, capture_output=True, check=True, timeout=_SECONDS, stdin=subprocess.DEVNULL, cwd=reference.folder
        )
    except FileNotFoundError:
        raise _refusal(reference, "was not found") from None
    except subprocess.TimeoutExpired:
        raise _refusal(reference, f"did not answer in {_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise _refusal(reference, f"failed ({error.returncode})") from None
    except (OSError, ValueError, IndexError) as error:
        raise _refusal(reference, f"cannot be run ({type(error).__name__})") from None
    return done.stdout


def _refusal(reference: SecretReference, reason: str, hint: str | None = None) -> ConfigError:
    return ConfigError(f"{reference.place}: {reference} {reason}", hint=hint)
