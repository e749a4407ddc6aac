"""What the operator has set: environment over ``config.toml`` over defaults, read once and frozen.

Flags win over both; the command line hands them to ``read_settings``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from orgserver import database_url, ownership
from orgserver.model.errors import ConfigError
from orgserver.model.names import Alias, alias, split_list
from orgserver.model.secret import Secret

SECRET_NAMES = ("master_key", "client_secret", "refresh_token", "signin_client_secret", "database_password")
"""Settings that a file in plain text may not hold."""

FILE_NAME = "config.toml"
_PREFIX = "ORGSERVER_"
INPUTS = frozenset({"client_id", "client_secret", "refresh_token"})
"""What ``add-org`` takes from the environment; no settings of a file."""
FILE_ONLY = frozenset({"unattended", "alert_command", "ship_before_prune"})
"""Settings that ``config.toml`` alone can hold: whoever starts a command sets its environment."""
_SERVICE = re.compile(r"ORGSERVER_(?:SERVICE_(?:HOST|PORT)(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP)\w*)?)")
"""What Kubernetes and Docker set for a service called ``orgserver``."""
_ALIKE = 0.6
_ENVIRONMENT = "the environment"
_TAKEN_OUT = ("master_key", "signin_client_secret", "database_password")
_MEND = "correct the variable, or unset it"


class Settings(BaseModel):
    """Every setting that this version acts on."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Path
    database_url: str | None = Field(None, repr=False)
    """Without a password, where ``read_settings`` read it."""
    database_password_file: Path | None = None
    database_password_command: tuple[str, ...] | None = Field(None, min_length=1)
    master_key_file: Path | None = None
    master_key_command: tuple[str, ...] | None = None
    proxy: str | None = None
    ca_file: Path | None = None
    org_concurrency: int = Field(10, ge=1, le=1_000)
    org_queue: int = Field(500, ge=0, le=100_000)
    call_timeout: float = Field(50.0, gt=0, le=3_600)
    http_max_body: int = Field(1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    http_rate: float = Field(60.0, ge=0.1, le=1_000_000)
    http_in_flight: int = Field(16, ge=1, le=100_000)
    keep_alive_days: float = Field(7.0, ge=0, le=29)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    lease_seconds: float = Field(60.0, gt=0, le=600)
    token_seconds: float = Field(30.0, gt=0, le=300)
    heartbeat_seconds: float = Field(10.0, gt=0, le=600)
    abandoned_seconds: float = Field(60.0, gt=0, le=3_600)
    ship_to: str | None = Field(None, min_length=1)
    ship_every: float = Field(300.0, ge=1, le=86_400)
    ship_before_prune: bool = False
    toolsets: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    exclude_tools: tuple[str, ...] = ()
    orgs: tuple[Alias, ...] = ()
    read_only: bool = False
    notifications: bool = True
    """Whether each question to a person is shown as a desktop notification, too."""
    unattended: Literal["allow"] | None = None
    """``allow``: commands that loosen or destroy run with nobody at a terminal. Only ``config.toml`` can say so."""
    alert_command: tuple[str, ...] | None = Field(None, min_length=1)
    """A program and its arguments that gets each change of an org's state; only ``config.toml`` can name it."""

    signin_issuer: str | None = None
    """The company's OpenID Connect provider, at which people sign in; its name to the letter."""
    signin_client_id: str | None = None
    signin_new: Literal["refuse", "create"] = "refuse"
    signin_groups_claim: str | None = None

    signin_client_secret: SecretStr | None = Field(None, repr=False)
    master_key: SecretStr | None = Field(None, repr=False)
    database_password: SecretStr | None = Field(None, repr=False)

    @field_validator("master_key_command", "database_password_command", mode="before")
    @classmethod
    def _split_command(cls, value: object) -> object:
        import shlex  # noqa: PLC0415  # only where a command is set

        return tuple(shlex.split(value)) if isinstance(value, str) else value

    @field_validator("toolsets", "tools", "exclude_tools", "orgs", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        """A list, or a text with commas. An empty text is no list, but one that holds no name is a mistake."""
        if not isinstance(value, str) or not value:
            return value or ()
        split = split_list(value)
        if not split:
            raise ValueError("it names nothing")
        return split

    @field_validator("orgs")
    @classmethod
    def _aliases(cls, value: tuple[str, ...]) -> tuple[Alias, ...]:
        return tuple(alias(name) for name in value)

    @field_validator("read_only", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return False if value == "" else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _lease_outlives_request(self) -> Self:
        if self.lease_seconds <= self.token_seconds:
            raise ValueError("ORGSERVER_LEASE_SECONDS must be longer than ORGSERVER_TOKEN_SECONDS")
        return self

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Self:
        if (self.signin_issuer is None) != (self.signin_client_id is None):
            missing = "ORGSERVER_SIGNIN_ISSUER" if self.signin_issuer is None else "ORGSERVER_SIGNIN_CLIENT_ID"
            raise ValueError(
                f"ORGSERVER_SIGNIN_ISSUER and ORGSERVER_SIGNIN_CLIENT_ID go together: {missing} is not set"
            )
        return self

    @property
    def is_on_server(self) -> bool:
        """Whether the store lies on a PostgreSQL server."""
        return database_url.is_server(self.database_url)

    @property
    def database_file(self) -> Path:
        """The SQLite file; ConfigError for a server, and for a URL this version cannot serve."""
        return database_url.sqlite_file(self.database_url) if self.database_url else self.home / "orgserver.db"

    def take_signin_secret(self) -> Secret | None:
        """Give the secret that this server has at the identity provider."""
        secret = self.signin_client_secret
        return Secret(secret.get_secret_value()) if secret is not None else None

    def take_master_key(self) -> Secret | None:
        """Give the key that the environment held."""
        return Secret(self.master_key.get_secret_value()) if self.master_key is not None else None


def default_home() -> Path:
    """The platform's folder for a program's own data."""
    import platformdirs  # noqa: PLC0415  # only where ORGSERVER_HOME is not set

    return Path(platformdirs.user_data_dir("orgserver", appauthor=False))


def read_settings(
    flags: Mapping[str, Any] | None = None,
    environ: MutableMapping[str, str] = os.environ,
    *,
    unknown: list[str] | None = None,
) -> Settings:
    """Read the settings; secrets are taken out of the environment, so that no child inherits them.

    Raises ConfigError naming each setting that is wrong, never its value; and before a byte of ``config.toml`` is used,
    where somebody else may change it: it can name the program that prints the key. A key of the file that is no
    setting is refused, too, unless there is a list for what is ``unknown``.
    """
    flags = dict(flags or {})
    home = Path(flags.pop("home", None) or environ.get("ORGSERVER_HOME") or default_home()).expanduser().absolute()
    environment = {
        name: environ[_variable(name)]
        for name in Settings.model_fields
        if _variable(name) in environ and name not in FILE_ONLY
    }
    _take_secrets_out(environ)  # first of all: what is refused below leaves none behind
    _refuse_home_of_others(home)
    file = home / FILE_NAME
    in_file = _read_file(file, unknown)
    database_url.take_password_out(environment)
    try:
        return Settings(**(in_file | environment | flags | {"home": home}))
    except ValidationError as error:
        sources = (
            dict.fromkeys(in_file, str(file)) | dict.fromkeys(environment, _ENVIRONMENT) | dict.fromkeys(flags, "")
        )
        raise _invalid(error, sources) from None


def _take_secrets_out(environ: MutableMapping[str, str]) -> None:
    for name in _TAKEN_OUT:
        environ.pop(_variable(name), None)
    if (url := environ.get(_variable("database_url"))) is not None:
        environ[_variable("database_url")] = database_url.take_password(url)[0]


def unknown_variables(names: Iterable[str] = os.environ) -> list[str]:
    """Say of each variable that looks like a setting and is none what was probably meant; it may be another version's.

    No value is looked at.
    """
    ours = sorted(name for name in names if name.upper().startswith(_PREFIX) and not _SERVICE.fullmatch(name))
    every = {*Settings.model_fields, *INPUTS} - FILE_ONLY
    return [
        _explain_name(f"{name} in the environment", name[len(_PREFIX) :].lower(), every, _PREFIX)
        for name in ours
        if not (name == name.upper() and name[len(_PREFIX) :].lower() in every)
    ]


def _variable(name: str) -> str:
    return f"{_PREFIX}{name.upper()}"


def _invalid(error: ValidationError, sources: Mapping[str, str]) -> ConfigError:
    """What is said of wrong values: each is named by the name that it has where it comes from, with how to mend it."""
    problems = error.errors(include_input=False)
    wrong = dict.fromkeys(sources.get(str(part), "") for problem in problems for part in problem["loc"][:1])
    hints = [
        _MEND if source == _ENVIRONMENT else f"correct it in {source}, or take it out" for source in wrong if source
    ]
    return ConfigError("; ".join(_problem(problem, sources) for problem in problems), hint="; ".join(hints) or None)


def _problem(detail: Any, sources: Mapping[str, str]) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    if not name:  # of several settings together
        return str(detail["msg"]).removeprefix("Value error, ")
    in_file = sources.get(str(detail["loc"][0]), _ENVIRONMENT) not in (_ENVIRONMENT, "")
    return f"setting {f'{name} in {FILE_NAME}' if in_file else _variable(name)}: {detail['msg']}"


def _refuse_home_of_others(home: Path) -> None:
    try:
        status = home.stat()
    except OSError:
        return  # whether home can be a folder at all is for the store to say
    _refuse(home, status)


def _refuse(path: Path, status: os.stat_result) -> None:
    risk = ownership.risk(path, status)
    if risk is not None:
        raise ConfigError(
            f"{risk.reason}, and so could name the program that prints the master key: nothing in it is used",
            hint=f"{risk.mend}; or set ORGSERVER_HOME to a folder of your own",
        )


def _read_file(path: Path, unknown: list[str] | None) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            _refuse(path, os.fstat(file.fileno()))
            values = tomllib.loads(file.read().decode("utf-8-sig"))  # Windows editors put a byte-order mark first
    except (FileNotFoundError, NotADirectoryError):
        return {}  # whether home can be a folder at all is for the store to say
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    database_url.refuse_password(values.get("database_url"), path)
    for name in SECRET_NAMES:
        if name in values:
            raise ConfigError(
                f"{path} holds {name}, and secrets may not stand in a file of plain settings",
                hint=f"remove it there; give {_variable(name)} in the environment instead",
            )
    return _known(path, values, unknown)


def _known(path: Path, values: dict[str, Any], unknown: list[str] | None) -> dict[str, Any]:
    """The settings among the keys of the file."""
    fields = Settings.model_fields
    strange = [_explain_name(f"{name} in {path}", name.lower(), fields, "") for name in values if name not in fields]
    if strange and unknown is None:
        raise ConfigError("; ".join(strange), hint="correct the name, or take it out; nothing is done by half")
    if unknown is not None:
        unknown += strange
    return {name: value for name, value in values.items() if name in fields}


def _explain_name(where: str, name: str, settings: Collection[str], prefix: str) -> str:
    """Why a name is no setting, and which was probably meant."""
    if prefix and name in FILE_ONLY:
        return f"{where}: {name} is read from config.toml only, and this is not acted on"
    near = get_close_matches(name, sorted(settings), n=1, cutoff=_ALIKE)
    if not near:
        return f"{where} is no setting"
    suggestion = f"{prefix}{near[0]}".upper() if prefix else near[0]
    return f"{where} is no setting; did you mean {suggestion}?"
