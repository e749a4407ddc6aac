"""Where the password of the store's server comes from: environment, file or command, asked at each connection."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from orgserver import ownership
from orgserver.config import Settings
from orgserver.model.errors import ConfigError, StoreError

COMMAND_SECONDS = 20.0
_MAX_BYTES = 4_096
_FILE, _COMMAND = "ORGSERVER_DATABASE_PASSWORD_FILE", "ORGSERVER_DATABASE_PASSWORD_COMMAND"
_TRY_COMMAND = "run it by itself in a terminal: it must print the password, nothing else, and exit with 0"


def password_source(settings: Settings) -> Callable[[], str] | None:
    """What gives the password, from the first source that is set; None where none is.

    What it gives is never shown; it raises StoreError with one sentence.
    """
    if settings.database_password is not None:
        return settings.database_password.get_secret_value
    if settings.database_password_file is not None:
        return partial(_read_file, settings.database_password_file)
    if settings.database_password_command is not None:
        return partial(_run_command, settings.database_password_command)
    return None


def _read_file(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if path.is_symlink():
            hint = f"name the file itself; for a secret that is mounted as a link: {_COMMAND}='cat PATH'"
            raise StoreError(f"{_FILE}: {path} is a symbolic link", hint=hint) from None
        reason = (error.strerror or type(error).__name__).lower()
        raise StoreError(f"{_FILE}: {path} cannot be read: {reason}") from None
    try:
        status = os.fstat(descriptor)
        risk = ownership.risk(path, status, private=True)
        if risk is not None:
            raise ConfigError(f"{_FILE}: {risk.reason}", hint=risk.mend)
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(f"{_FILE}: {path} is not a regular file")
        return _password(os.read(descriptor, _MAX_BYTES + 1), f"{_FILE}: {path}")
    finally:
        os.close(descriptor)


def _run_command(command: tuple[str, ...]) -> str:
    name = f"{_COMMAND}: {Path(command[0]).name}"
    try:
        done = subprocess.run(  # noqa: S603  # the operator's own program, as an argument list, no shell
            command, capture_output=True, check=True, timeout=COMMAND_SECONDS, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise StoreError(f"{name} was not found", hint="name a program on the PATH, or by its full path") from None
    except subprocess.TimeoutExpired:
        raise StoreError(f"{name} did not answer in {COMMAND_SECONDS:g} s", hint=_TRY_COMMAND) from None
    except (subprocess.CalledProcessError, OSError, ValueError) as error:
        code = getattr(error, "returncode", type(error).__name__)
        raise StoreError(f"{name} failed ({code})", hint=_TRY_COMMAND) from None
    return _password(done.stdout, name)


def _password(content: bytes, source: str) -> str:
    """One line, as an editor or ``echo`` ends it."""
    try:
        password = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise StoreError(f"{source} is not text in UTF-8") from None
    if not password or len(content) > _MAX_BYTES or "\n" in password or "\0" in password:
        raise StoreError(f"{source} holds no password in one line")
    return password
