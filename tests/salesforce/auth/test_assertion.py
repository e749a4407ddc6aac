"""Keys that Salesforce would not take are refused in a few words; those it takes sign what it can verify."""

import datetime as dt
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from orgserver.model.orgs import Credential
from orgserver.model.secret import Secret
from orgserver.salesforce.auth import assertion, oauth, pem

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
OTHER = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PASSPHRASE = Secret("correct horse")


def private(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: Secret | None = None) -> bytes:
    how: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        how = BestAvailableEncryption(passphrase.reveal().encode())
    return bytes(key.private_bytes(Encoding.PEM, form, how))


def certificate(key: rsa.RSAPrivateKey, first: datetime, last: datetime, of: rsa.RSAPrivateKey | None = None) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "orgserver")])
    made = x509.CertificateBuilder(
        name, name, (of or key).public_key(), x509.random_serial_number(), first.replace(tzinfo=None),
        last.replace(tzinfo=None),
    )  # fmt: skip
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def around(days: int, length: int = 365) -> tuple[datetime, datetime]:
    return NOW + dt.timedelta(days=days), NOW + dt.timedelta(days=days + length)


GOOD = certificate(KEY, *around(-1))


@pytest.mark.parametrize(
    "data",
    [
        private(KEY),
        private(KEY, PrivateFormat.TraditionalOpenSSL),
        b"Bag Attributes\n    localKeyID: 01\n" + private(KEY) + GOOD,
        GOOD + private(KEY),
        private(KEY).replace(b"\n", b"\r\n"),
    ],
    ids=["PKCS8", "PKCS1", "with a certificate", "after its certificate", "from Windows"],
)
def test_an_rsa_key_is_read_whatever_it_is_written_in(data: bytes) -> None:
    assert pem.read(data, NOW).private_key.reveal().encode() == private(KEY)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_opens_with_its_passphrase_alone(form: PrivateFormat) -> None:
    data = private(KEY, form, PASSPHRASE)

    with pytest.raises(pem.PassphraseNeeded):
        pem.read(data, NOW)
    with pytest.raises(pem.KeyRefused, match="does not open with this passphrase"):
        pem.read(data, NOW, Secret("wrong"))
    assert pem.read(data, NOW, PASSPHRASE).private_key.reveal().encode() == private(KEY)


def test_the_end_of_the_certificate_beside_it_is_known() -> None:
    assert pem.read(private(KEY) + GOOD, NOW).certificate_ends == around(-1)[1]
    assert pem.read(private(KEY), NOW).certificate_ends is None


def test_a_chain_may_follow_the_keys_own_certificate() -> None:
    issuer = certificate(OTHER, *around(-900, 400))

    assert pem.read(private(KEY) + GOOD + issuer, NOW).certificate_ends == around(-1)[1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no private key in PEM"),
        (b"\x30\x82\x01\x00" * 50, "no private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\n", "no private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged or of an unknown kind"),
        (private(KEY)[:400] + private(KEY)[500:], "damaged or of an unknown kind"),
        (GOOD, "a certificate only"),
        (KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "a public key"),
        (private(ec.generate_private_key(ec.SECP256R1())), "another kind"),
        (private(ed25519.Ed25519PrivateKey.generate()), "another kind"),
        (private(ed25519.Ed25519PrivateKey.generate(), PrivateFormat.OpenSSH), "OpenSSH"),
        (private(KEY, PrivateFormat.OpenSSH), "OpenSSH"),
        (private(rsa.generate_private_key(public_exponent=65_537, key_size=1_024)), "1024 bits"),
        (private(KEY) + private(OTHER), "more than one private key"),
        (private(KEY) + certificate(OTHER, *around(-1)), "a certificate of another key"),
        (private(KEY) + certificate(KEY, *around(-400)), "expired on 2026-10-20"),
        (private(KEY) + certificate(KEY, *around(7)), "valid only from 2026-12-01"),
        (private(KEY) + GOOD[:200] + GOOD[300:], "a certificate that is damaged"),
    ],
)
def test_a_key_that_salesforce_would_not_take_is_refused_in_a_few_words(data: bytes, reason: str) -> None:
    with pytest.raises(pem.KeyRefused, match=reason) as refused:
        pem.read(data, NOW)

    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 120


def test_a_key_that_is_read_is_not_shown() -> None:
    assert "PRIVATE" not in repr(pem.read(private(KEY), NOW))


def test_an_assertion_says_who_asks_as_whom_and_where_for_three_minutes() -> None:
    credential = Credential(
        "3MVG9", None, None, private_key=pem.read(private(KEY), NOW).private_key, username="bot@acme.example",
        audience="https://login.salesforce.com",
    )  # fmt: skip

    form = oauth.build_token_form(credential, NOW.timestamp())

    assert set(form) == {"grant_type", "assertion"}
    assert isinstance(form["assertion"], Secret)
    text = form["assertion"].reveal()
    claims = jwt.decode(
        text, KEY.public_key(), algorithms=["RS256"], options={"verify_exp": False}, audience=credential.audience
    )
    assert jwt.get_unverified_header(text)["alg"] == "RS256"
    assert claims == {
        "iss": "3MVG9",
        "sub": "bot@acme.example",
        "aud": "https://login.salesforce.com",
        "exp": int(NOW.timestamp()) + assertion.LIFE_SECONDS,
    }


def test_a_credential_that_lacks_a_part_signs_nothing() -> None:
    with pytest.raises(ValueError, match="cannot sign"):
        assertion.sign(Credential("3MVG9", None, None), NOW.timestamp())
