"""What is said of the parts that are missing, where nobody is here to be asked."""

import pytest

from orgserver.cli.login.credentials import CredentialParts, complete
from orgserver.model.errors import ConfigError
from orgserver.model.orgs import AuthKind
from tests.cli.shells import Shell


@pytest.mark.parametrize("auth", ["jwt", "refresh-token", "client-credentials"])
def test_a_client_id_is_an_option_and_no_secret(auth: AuthKind) -> None:
    with pytest.raises(ConfigError, match="no client id was given") as error:
        complete(CredentialParts(), auth)

    assert error.value.hint == (
        "give --client-id, the consumer key of the app; or set ORGSERVER_CLIENT_ID, or use --credentials-stdin or "
        "--env-file"
    )


def test_a_secret_is_no_option() -> None:
    parts = CredentialParts({"client_id": "3MVG9"}, sources={"client_id": "--client-id"})

    with pytest.raises(ConfigError, match="no refresh token was given") as error:
        complete(parts, "refresh-token")

    assert str(error.value.hint).endswith("; secrets are never options; or log in with --auth web")


@pytest.mark.parametrize("options", [(), ("--auth", "jwt")])
async def test_without_anything_the_option_is_named(options: tuple[str, ...], shell: Shell) -> None:
    refused = await shell("add-org", "bad", *options)

    assert refused.code == 1
    assert refused.lines[0] == "orgserver: error: no client id was given"
    assert refused.lines[1].startswith("orgserver: hint: give --client-id, ")
