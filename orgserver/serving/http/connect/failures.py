"""The page that says why a login of one's own was not stored, and what to do: one sentence for each reason."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote

from orgserver.model.access.principals import Principal
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Reply, retry_after
from orgserver.store.orgs.connect_links import ConnectLink

_AGAIN = "Repeat the call at your client, which gives you a new link."
_ASK = "Ask an administrator of this server."
_NOTHING = "Nothing was stored."
_COMMAND_FOR_ANY = "orgserver connect-org NAME-OF-THE-ORG"
_RETRY_SECONDS = 60.0
_WORDS: Mapping[RefusalKind, tuple[str, str, str]] = {
    RefusalKind.OVER: (
        "This link is used up or too old",
        "A link works once, within ten minutes.",
        "Repeat the call (or: {command}) for a new one.",
    ),
    RefusalKind.OTHER_PERSON: (
        "This link is somebody else's",
        "It was made for another person than you. It stays good for that person.",
        "If somebody sent it to you, do not use it: you would give them your login. Your own calls bring your own.",
    ),
    RefusalKind.OTHER_BROWSER: (
        "This was begun in another browser",
        "A link goes on in the browser in which it was begun.",
        f"Go on there. {_AGAIN} If somebody sent you this address, do not use it.",
    ),
    RefusalKind.FORGED: (
        "This is no answer to a login begun in this browser",
        "The address belongs to a login that this browser did not begin, or to none at all. Nothing was done.",
        f"If somebody sent you this address, do not use it. Else allow cookies for this server. {_AGAIN}",
    ),
    RefusalKind.FORM: (
        "This form is not from here",
        "It was not filled in on a page of this server in this browser, so nothing was done.",
        "Open the link once more, in this browser.",
    ),
    RefusalKind.WRONG_KEY: (
        "This key opens nothing here",
        "It is not known, or it has ended.",
        "Open the link once more, and give the key that your client uses.",
    ),
    RefusalKind.PROOF_OVER: (
        "It is not known any more who you are",
        f"Your sign-in ended, or your key was revoked, before this was over. {_NOTHING}",
        f"Sign in again. {_AGAIN}",
    ),
    RefusalKind.NOT_ALLOWED: ("You may not use this org", f"Nothing here is granted to you for it. {_NOTHING}", _ASK),
    RefusalKind.CHANGED: (
        "This org has changed since",
        f"The link was for {{alias}}, which is another one now. {_NOTHING}",
        _AGAIN,
    ),
    RefusalKind.GONE: ("This org is gone", f"{{alias}} was removed from this server. {_NOTHING}", _ASK),
    RefusalKind.DISABLED: ("This org is disabled", f"An administrator has disabled {{alias}}. {_NOTHING}", _ASK),
    RefusalKind.SHARED: (
        "There is nothing to connect",
        f"{{alias}} uses one login for all by now. {_NOTHING}",
        "Repeat the call: it needs no login of yours.",
    ),
    RefusalKind.NO_BROWSER: (
        "Nobody logs in to this org by a browser",
        f"The app of {{alias}} has no such login. {_NOTHING}",
        _ASK,
    ),
    RefusalKind.APP_CHANGED: (
        "This org has another app now",
        f"The app that you let in is not the one of {{alias}} any more. {_NOTHING}",
        _AGAIN,
    ),
    RefusalKind.CONSENT_REFUSED: (
        "You said no at Salesforce",
        "The app was not let in, so nothing was stored.",
        f"If you change your mind: {_AGAIN}",
    ),
    RefusalKind.LOGIN_REFUSED: (
        "Salesforce gave no login",
        f"What it answered cannot be used here. {_NOTHING}",
        f"{_AGAIN} If it happens again, give an administrator the number below: the log says what was wrong.",
    ),
    RefusalKind.NO_REFRESH_TOKEN: (
        "This login would end at once",
        "The org's app gives no refresh token: it lacks the scope refresh_token (offline_access). Nothing was stored.",
        "A Salesforce administrator adds the scope to the app (Perform requests at any time). Then begin again.",
    ),
    RefusalKind.OTHER_ORG: (
        "You logged in to another org",
        f"{{alias}} is {{expected}}, and you logged in to {{named}}. {_NOTHING}",
        f"Log in to the right org. {_AGAIN}",
    ),
    RefusalKind.HOST_NOT_TRUSTED: (
        "This org lives where it may not be trusted",
        f"Salesforce's answer names a host that this server does not trust. {_NOTHING}",
        _ASK,
    ),
    RefusalKind.OTHER_USER: (
        "You logged in as another Salesforce user",
        f"You are connected as {{pinned}}, and logged in as {{came}}. {_NOTHING}",
        "To change the user: press Replace at /me, where people sign in, or: {command} --replace.",
    ),
    RefusalKind.USER_TAKEN: (
        "This Salesforce user is taken",
        f"{{came}} is already another person's login here. {_NOTHING}",
        f"Log in as your own Salesforce user. {_AGAIN}",
    ),
    RefusalKind.AWAY: (
        "Salesforce cannot be reached now",
        f"This server found no way to the org's login host. {_NOTHING}",
        f"Wait a few minutes. {_AGAIN}",
    ),
    RefusalKind.UNANSWERED: (
        "Salesforce did not answer",
        f"Its answer was lost, and a login's answer is given once. {_NOTHING}",
        _AGAIN,
    ),
}


def name_command(link: ConnectLink) -> str:
    """What does the same at a terminal of the server as a link; the operator's own login needs no name."""
    command = f"orgserver connect-org {quote(link.alias)}"
    return command if Principal(link.principal).is_local else f"{command} --principal {quote(link.principal)}"


def make_failure(pages: Pages, refusal: Refusal, link: ConnectLink | None) -> Reply:
    """The page."""
    title, text, todo = _WORDS[refusal.kind]
    facts = {
        "alias": link.alias if link is not None else "the org",
        "command": name_command(link) if link is not None else _COMMAND_FOR_ANY,
        **refusal.facts,
    }
    if refusal.kind is RefusalKind.CHANGED and "now" in facts:
        text, todo = (
            f"{{alias}} is called {{now}} now. {_NOTHING}",
            "Repeat the call for {now}: it gives you a new link.",
        )
    headers = retry_after(_RETRY_SECONDS) if refusal.kind is RefusalKind.AWAY else ()
    return pages.fail(
        refusal.kind.status,
        title,
        text.format(**facts),
        todo.format(**facts),
        headers=headers,
        reason=refusal.reason,
    )
