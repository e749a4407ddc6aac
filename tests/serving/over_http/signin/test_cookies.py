"""Cookies of sign-in: one form, read strictly."""

import pytest

from orgserver.model.secret import Secret
from orgserver.serving.http.signin.cookies import ME, SIGN_IN, drop_cookie, keep_cookie, make_cookie_value, read_cookie

VALUE, OTHER = "a" * 43, "b" * 43


def scope(*cookies: str) -> dict[str, list[tuple[bytes, bytes]]]:
    return {"headers": [(b"cookie", cookie.encode("latin-1")) for cookie in cookies]}


@pytest.mark.parametrize(
    "cookies",
    [
        (f"{SIGN_IN}={VALUE}",),
        (f"x=1; {SIGN_IN}={VALUE};{ME}={OTHER}",),
        ("x=1", f"{SIGN_IN}={VALUE}"),  # HTTP/2 may send one header each
        (f"{SIGN_IN}={VALUE}; {SIGN_IN}={VALUE}",),
    ],
)
def test_a_cookie_is_found_among_others(cookies: tuple[str, ...]) -> None:
    assert read_cookie(scope(*cookies), SIGN_IN) == Secret(VALUE)


@pytest.mark.parametrize(
    "cookies",
    [
        (),
        (f"orgserver-signin={VALUE}",),
        (f"{ME}={VALUE}",),
        (f"{SIGN_IN}={VALUE}; {SIGN_IN}={OTHER}",),
        (f'{SIGN_IN}="{VALUE}"',),
        (f"{SIGN_IN}={VALUE}\xe4",),
        (f"{SIGN_IN}=",),
    ],
)
def test_what_was_not_made_here_or_came_twice_is_none(cookies: tuple[str, ...]) -> None:
    assert read_cookie(scope(*cookies), SIGN_IN) is None


def test_a_cookie_is_kept_by_its_host_alone_and_shown_to_no_script() -> None:
    value = make_cookie_value()

    ((name, text),) = keep_cookie(ME, value, 600)

    assert name == b"set-cookie"
    assert text.decode() == f"{ME}={value.reveal()}; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert drop_cookie(ME)[0][1].startswith(f"{ME}=; Max-Age=0; ".encode())
    assert read_cookie(scope(f"{ME}={value.reveal()}"), ME) == value
