"""The options of ``serve`` that say how it is reached over HTTP; on standard input and output they mean nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orgserver.model import names
from orgserver.model.errors import ConfigError

if TYPE_CHECKING:
    from orgserver.config import Settings
    from orgserver.serving.http.options import HttpOptions

F = TypeVar("F", bound=Callable[..., Any])

_LOOPBACK = "127.0.0.1,::1"
_OF_SIGN_IN = {
    "allow_registration": "--allow-registration",
    "match_claim": "--match-claim",
    "session_hours": "--session-hours",
}
_OPTIONS = {
    "tls_cert": "--tls-cert",
    "tls_key": "--tls-key",
    "public_url": "--public-url",
    "trusted_proxies": "--trust-proxy",
    "allowed_hosts": "--allow-host",
    "allowed_origins": "--allow-origin",
    "metrics": "--metrics",
    "issuer": "--oauth-issuer",
    "audience": "--oauth-audience",
    **_OF_SIGN_IN,
}


def http_options(command: F) -> F:
    """Add the options; each list may be repeated or take commas."""
    command = click.option(
        "--session-hours",
        type=click.FloatRange(0.1, 720),
        metavar="HOURS",
        help="How long a sign-in lasts where the identity provider gives no refresh token. [default: 12]",
    )(command)
    command = click.option(
        "--match-claim",
        type=click.Choice(["email"]),
        help="A verified address finds the principal of that name when somebody signs in for the first time.",
    )(command)
    command = click.option(
        "--allow-registration", is_flag=True, help="Clients without a description at a URL may register themselves."
    )(command)
    command = click.option(
        "--metrics", metavar="HOST:PORT", help="Where Prometheus reads figures over HTTP, without a key."
    )(command)
    command = click.option(
        "--oauth-audience", "audience", metavar="TEXT", help="Only tokens of that issuer that are meant for TEXT."
    )(command)
    command = click.option(
        "--oauth-issuer", "issuer", metavar="URL", help="Take access tokens of this identity provider beside API keys."
    )(command)
    command = _list(
        "--allow-origin", "allowed_origins", "ORIGIN", "Web pages of ORIGIN may call, as https://app.example.com."
    )(command)
    command = _list(
        "--allow-host",
        "allowed_hosts",
        "HOST[:PORT]",
        "Another name that clients call it by.",
    )(command)
    command = _list(
        "--trust-proxy",
        "trusted_proxies",
        "[ADDRESS|NETWORK]",
        "Believe what this proxy says of whom it forwards for. [without a value: one on this machine]",
        is_flag=False,
        flag_value=_LOOPBACK,
    )(command)
    command = click.option(
        "--public-url",
        metavar="URL",
        help="How clients reach it, through a proxy or by TLS of its own: https://HOST[:PORT].",
    )(command)
    command = click.option("--tls-key", metavar="FILE", help="The private key of the certificate.")(command)
    return click.option("--tls-cert", metavar="FILE", help="Speak TLS by this certificate. SIGHUP reads it anew.")(
        command
    )


def refuse_http_options(options: Mapping[str, Any]) -> None:
    """ConfigError for an option of HTTP where nothing is served over HTTP."""
    for name, option in _OPTIONS.items():
        if options[name]:
            raise ConfigError(f"{option} is for a server on HTTP", hint="--http HOST:PORT makes it one")


def read_http_options(options: Mapping[str, Any], settings: Settings) -> HttpOptions:
    """What was given, checked."""
    from orgserver.serving.http.bearer.issuers import refuse_bad_sign_in  # noqa: PLC0415  # no server on stdio needs it
    from orgserver.serving.http.options import read_options  # noqa: PLC0415  # as above

    for name, option in _OF_SIGN_IN.items():
        if options[name] and settings.signin_issuer is None:
            raise ConfigError(
                f"{option} is for people's sign-in, and no identity provider is set",
                hint="ORGSERVER_SIGNIN_ISSUER and ORGSERVER_SIGNIN_CLIENT_ID name one",
            )
    http_options = read_options(
        options["http"],
        **{name: options[name] for name in _OPTIONS},
        max_body=settings.http_max_body,
        rate=settings.http_rate,
        in_flight=settings.http_in_flight,
    )
    if settings.signin_issuer is not None:
        refuse_bad_sign_in(settings.signin_issuer, http_options.url)
    return http_options


def _list(option: str, name: str, metavar: str, words: str, **more: Any) -> Callable[[F], F]:
    return click.option(option, name, multiple=True, metavar=metavar, help=words, callback=_split, **more)


def _split(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for value in values for name in names.split_list(value))
