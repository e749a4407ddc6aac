"""Answers of the token endpoint that look alike are told apart, and errors mean what Salesforce means by them."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from orgserver.model.errors import Rejected, StaleToken, Unanswered
from orgserver.model.orgs import Credential
from orgserver.model.secret import Secret
from orgserver.model.text import MAX_MESSAGE
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.auth.token_refusals import GUIDE
from orgserver.salesforce.protocol import refusals, rest
from orgserver.salesforce.protocol.messages import Reply, strip_attributes

ANSWERS = [
    (400, "invalid_grant", "expired access/refresh token", "dead"),
    (400, "invalid_grant", "inactive user", "dead"),
    (400, "invalid_grant", "user hasn't approved this consumer", "dead"),
    (400, "invalid_grant", "authentication failure", "dead"),
    (400, "invalid_grant", "Token request is already being processed", "busy"),
    (400, "invalid_request", "token request is already being processed", "busy"),
    (400, "invalid_client", "invalid client credentials", "client"),
    (400, "invalid_client_id", "client identifier invalid", "client"),
    (401, "invalid_client", "invalid client credentials", "client"),
    (400, "invalid_grant", "ip restricted", "place"),
    (400, "invalid_grant", "ip not allowed", "place"),
    (400, "invalid_request", "restricted login hours", "place"),
    (400, "unsupported_grant_type", "grant type not supported", "app"),
    (400, "invalid_app_access", "user is not admin approved to access this app", "app"),
    (400, "app_not_found", "External client app is not installed in this org", "app"),
    (400, "OAUTH_EC_APP_NOT_FOUND", "External client app is not installed in this org", "app"),
    (400, "OAUTH_APP_BLOCKED", "this app is blocked by admin", "app"),
    (400, "inactive_org", "org is not active", "app"),
    (400, "invalid_grant", "audience is invalid", "audience"),
    (400, "invalid_grant", "Audience validation failed", "audience"),
    (400, "invalid_grant", "login rate exceeded", "limit"),
    (400, "rate_limit_exceeded", "number of login requests has been exceeded", "limit"),
    (400, "invalid_grant", "membership denied", "dead"),
    (400, "something_new", "a text of next year", "unlisted"),
    (403, "something_new", "", "unlisted"),
    (400, "unknown_error", "retry your request", "unclear"),
    (200, "invalid_grant", "expired access/refresh token", "unclear"),
    (404, "invalid_grant", "expired access/refresh token", "unclear"),
    (429, "invalid_grant", "too many", "unclear"),
    (503, "invalid_grant", "expired access/refresh token", "unclear"),
]


@pytest.mark.parametrize(("status", "error", "text", "kind"), ANSWERS)
def test_a_refusal_means_what_its_text_says(status: int, error: str, text: str, kind: str) -> None:
    with pytest.raises(oauth.TokenRefused) as refused:
        oauth.read_tokens(status, {"error": error, "error_description": text})

    assert refused.value.kind == kind
    assert refused.value.hint


@pytest.mark.parametrize(
    ("status", "error", "text", "words"),
    [
        (400, "app_not_found", "External client app is not installed in this org", "--login-url https://MYDOMAIN"),
        (400, "OAUTH_APP_BLOCKED", "this app is blocked by admin", "Approve Uninstalled Connected Apps"),
        (400, "invalid_app_access", "user is not admin approved to access this app", "permitted users"),
        (400, "unsupported_grant_type", "grant type not supported", "Flow Enablement"),
        (400, "invalid_grant", "user hasn't approved this consumer", "pre-authorizes the user"),
        (400, "invalid_grant", "inactive user", "Setup, Users"),
        (400, "invalid_grant", "invalid assertion", "certificate of this very key"),
        (400, "invalid_grant", "audience is invalid", "--audience"),
        (400, "invalid_client", "invalid client credentials", "Consumer Key"),
        (400, "something_new", "a text of next year", "Login History"),
    ],
)
def test_what_lasts_names_what_an_administrator_does_in_setup(status: int, error: str, text: str, words: str) -> None:
    with pytest.raises(oauth.TokenRefused) as refused:
        oauth.read_tokens(status, {"error": error, "error_description": text})

    assert words in refused.value.hint
    assert "Setup" in refused.value.hint
    assert "try again" not in refused.value.hint
    guide = GUIDE in refused.value.hint
    assert guide or text in ("inactive user", "invalid client credentials")


def test_the_guide_that_hints_name_is_a_page_of_the_repository_on_the_web() -> None:
    root = Path(__file__).parents[3]
    repository = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
    base, _, page = GUIDE.partition("/blob/main/")

    assert base == repository
    assert (root / page).is_file()


@pytest.mark.parametrize("body", [None, [], "text", {}, {"access_token": "x"}, {"error": 5}])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_answer_that_cannot_be_read_kills_nothing(status: int, body: object) -> None:
    with pytest.raises(oauth.TokenRefused) as refused:
        oauth.read_tokens(status, body)

    assert refused.value.kind == "unclear"


ANSWER = {
    "access_token": "00Dx!y",
    "instance_url": "https://acme.my.salesforce.com",
    "id": "https://login.salesforce.com/id/00DSb0000000001MAA/005Sb0000000001IAA",
}
WHOLE = ANSWER | {
    "refresh_token": "5Aep2",
    "token_type": "Bearer",
    "scope": "api",
    "issued_at": "1",
    "signature": "s=",
}


def test_a_token_answer_is_read() -> None:
    plain = oauth.read_tokens(200, ANSWER)
    rotated = oauth.read_tokens(200, WHOLE)

    assert (plain.org_id, plain.user_id, plain.refresh_token) == ("00DSb0000000001MAA", "005Sb0000000001IAA", None)
    assert rotated.refresh_token is not None and rotated.refresh_token.reveal() == "5Aep2"


NO_TEXTS: list[object] = [None, 5, 1.5, True, [], {}, ["x"]]
NO_TOKENS = ["", "\ud800", "x\ny", "x y", "\x00", "é", "x" * 9_000]
MISSHAPEN = [
    *((name, value) for name in WHOLE for value in NO_TEXTS),
    *((name, value) for name in ("access_token", "refresh_token", "id", "issued_at") for value in NO_TOKENS),
    *((("token_type", "mac"), ("instance_url", ""), ("id", "https://login.salesforce.com/id/x/y"))),
]


@pytest.mark.parametrize(("name", "value"), MISSHAPEN, ids=ascii)
def test_an_answer_with_a_field_that_cannot_be_is_no_answer_and_its_refresh_token_is_kept(
    name: str, value: object
) -> None:
    body = WHOLE | {name: value}

    with pytest.raises(oauth.TokenRefused) as refused:
        oauth.read_tokens(200, body)

    kept = oauth.refresh_token_in(200, body)
    assert (refused.value.kind, refused.value.error) == ("unclear", "bad_reply")
    assert (kept.reveal() if kept else None) == (None if name == "refresh_token" else "5Aep2")
    assert not oauth.was_refused(200, body)


@pytest.mark.parametrize("error", sorted(oauth.REFUSALS | {"OAUTH_APP_BLOCKED"}))
def test_a_refusal_in_oauths_words_was_not_worked_on(error: str) -> None:
    assert oauth.was_refused(400, {"error": error})
    assert oauth.was_refused(401, {"error": error, "error_description": "x"})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((status, {"error": "invalid_grant"}) for status in (200, 201, 302, 408, 425, 429, 500, 502, 503, 504)),
        *((400, body) for body in (None, [], "x", {}, {"error": 5}, {"error": "unknown_error"}, {"error": "what"})),
    ],
)
def test_of_all_else_nobody_knows_whether_it_was_worked_on(status: int, body: object) -> None:
    assert not oauth.was_refused(status, body)


@pytest.mark.parametrize("status", [200, 400])
def test_a_refresh_token_is_taken_from_a_success_alone(status: int) -> None:
    assert bool(oauth.refresh_token_in(status, {"refresh_token": "5Aep2", "error": "x"})) is (status == 200)


def test_a_public_client_sends_no_secret() -> None:
    form = oauth.refresh(Credential("id", None, Secret("5Aep1")))

    assert set(form) == {"grant_type", "client_id", "refresh_token"}


def test_a_code_is_redeemed_with_its_verifier_and_a_secret_only_where_there_is_one() -> None:
    given: dict[str, Any] = {
        "code": Secret("aPrx"),
        "callback": "http://localhost:1717/OauthRedirect",
        "verifier": Secret("v" * 43),
    }

    public = oauth.authorization_code("PlatformCLI", None, **given)
    confidential = oauth.authorization_code("3MVG9", Secret("s"), **given)

    assert set(public) == {"grant_type", "client_id", "code", "redirect_uri", "code_verifier"}
    assert set(confidential) - set(public) == {"client_secret"}
    assert public["redirect_uri"] == "http://localhost:1717/OauthRedirect"


ERRORS = [
    (401, "INVALID_SESSION_ID", "Session expired or invalid", False, StaleToken, "auth_expired"),
    (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", False, Rejected, "auth_expired"),
    (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", False, Rejected, "rate_limited"),
    (403, "INSUFFICIENT_ACCESS", "no", True, Rejected, "forbidden"),
    (404, "NOT_FOUND", "The requested resource does not exist", False, Rejected, "not_found"),
    (404, "ENTITY_IS_DELETED", "entity is deleted", True, Rejected, "not_found"),
    (400, "MALFORMED_QUERY", "unexpected token", False, Rejected, "invalid_argument"),
    (400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", True, Rejected, "invalid_argument"),
    (400, "DUPLICATE_VALUE", "duplicate value found", True, Rejected, "conflict"),
    (412, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", "modified", True, Rejected, "conflict"),
    (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", True, Rejected, "conflict"),
    (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred", True, Unanswered, "upstream"),
    (400, "APEX_ERROR", "System.Exception", True, Unanswered, "upstream"),
    (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred", False, Rejected, "upstream"),
]


@pytest.mark.parametrize(("status", "code", "message", "writes", "kind", "category"), ERRORS)
def test_an_error_means_what_salesforce_means(
    status: int, code: str, message: str, writes: bool, kind: type, category: str
) -> None:
    error = refusals.refusal(status, [{"errorCode": code, "message": message, "fields": ["A"]}], writes=writes)

    assert type(error) is kind
    assert (error.code, error.category) == (code, category)


@pytest.mark.parametrize("body", [None, [], {}, "x", [1], [{"x": 1}]])
@pytest.mark.parametrize(
    ("status", "writes", "outcome"),
    [
        (400, True, "rejected"),
        (404, False, "rejected"),
        (502, True, "unknown"),
        (502, False, "rejected"),
        (302, True, "rejected"),
    ],
)
def test_a_reply_without_words_still_has_an_outcome(body: object, status: int, writes: bool, outcome: str) -> None:
    assert refusals.refusal(status, body, writes=writes).outcome == outcome


def test_ids_of_duplicates_are_told_in_both_spellings() -> None:
    match = {"matchResults": [{"matchRecords": [{"record": {"Id": "003Sb0000000001AAA"}}]}]}
    for key in ("duplicateResut", "duplicateResult"):
        body = [{key: match, "errorCode": "DUPLICATES_DETECTED", "message": "Use one of these records?"}]
        error = refusals.refusal(400, body, writes=True)
        assert "003Sb0000000001AAA" in (error.hint or "")


def test_an_orgs_words_are_shown_short_and_harmless() -> None:
    error = refusals.refusal(400, [{"errorCode": "X", "message": "a\x1b[31m\u202eb\n" * 500}], writes=False)

    assert len(str(error)) <= MAX_MESSAGE
    assert str(error).isprintable()


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/services/data/v60.0/query/01g000-2000",
        "//evil.example/services/data/v60.0/query/01g000-2000",
        "/services/data/v60.0/query/../../oauth2/token",
        "/services/data/v60.0/query/01g0/2000",
        "/services/data/v60.0/sobjects/User",
        "/services/data/v60.0/query/01g000-2000?x=1",
        "/services/data/v60.0/query/%30%31%67",
        "",
    ],
)
def test_a_next_page_is_a_path_to_check_and_never_an_address(path: str) -> None:
    page = {"totalSize": 1, "done": False, "records": [], "nextRecordsUrl": path}

    with pytest.raises(Rejected):
        rest.read_page(Reply(200, {}, page))


def test_attributes_are_taken_out_at_every_depth() -> None:
    record = {"attributes": {"type": "A"}, "Id": "1", "B": {"attributes": {}, "C": [{"attributes": {}, "D": None}]}}

    assert strip_attributes(record) == {"Id": "1", "B": {"C": [{"D": None}]}}
