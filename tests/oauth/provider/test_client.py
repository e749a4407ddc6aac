"""People sign in at a provider that is honest: who they are, and what may be asked again without them."""

import secrets

from orgserver.model.access.principals import Subject
from orgserver.model.secret import Secret
from orgserver.oauth.provider.client import Provider, ProviderAnswer
from tests.provider.running import RunningProvider, read_callback


async def sign_in(provider: Provider, idp: RunningProvider, login: str = "ada", **wishes: bool) -> ProviderAnswer:
    verifier, nonce = Secret(secrets.token_urlsafe(32)), secrets.token_urlsafe(16)
    url = await provider.make_authorization_url(state="s", nonce=nonce, verifier=verifier, **wishes)
    callback = read_callback(await idp.sign_in(url, login))
    await provider.check_response_issuer(callback.get("iss"))
    return await provider.exchange(
        Secret(callback["code"]), verifier=verifier, nonce=nonce, fresh=wishes.get("fresh", False)
    )


async def test_somebody_signs_in_and_is_asked_for_again_without_being_there(
    provider: Provider, idp: RunningProvider
) -> None:
    answer = await sign_in(provider, idp)

    ada = Subject(idp.issuer, "sub-ada")
    assert (answer.person.subject, answer.person.name, answer.person.groups) == (ada, "Ada Lovelace", ("crm-admins",))
    assert (answer.person.email, answer.person.is_email_verified) == ("ada@example.com", True)
    assert answer.refresh_token is not None

    await idp.set(people={"ada": {"groups": ["sales"]}})
    again = await provider.refresh(answer.refresh_token, ada)
    assert again.person.groups == ("sales",)
    assert again.refresh_token is not None and again.refresh_token != answer.refresh_token
