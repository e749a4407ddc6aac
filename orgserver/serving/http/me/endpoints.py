"""The paths at ``/me``, and what they need."""

from __future__ import annotations

from dataclasses import dataclass

from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.calls.access import Access
from orgserver.services.connections.own_logins import OwnLogins
from orgserver.services.people.approvers import Approvers
from orgserver.services.people.auth_failures import AuthFailures
from orgserver.services.people.holdings import Holdings
from orgserver.services.signin.browser.me_sessions import Browsers
from orgserver.services.signin.options import ME_PATH
from orgserver.services.signin.people.sessions import SignInSessions
from orgserver.serving.http.me import log, logins, sessions
from orgserver.serving.http.me.approvals import ApprovalPages
from orgserver.serving.http.me.log import LogPages
from orgserver.serving.http.me.logins import LoginPages
from orgserver.serving.http.me.own import OwnPages
from orgserver.serving.http.me.sessions import SessionPages
from orgserver.serving.http.me.visits import Visits
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.signin.endpoints import Endpoint

_READ, _CHANGE = ("GET",), ("POST",)


@dataclass(frozen=True, slots=True)
class MeServices:
    """What they are made over."""

    access: Access
    browsers: Browsers
    holdings: Holdings
    approvers: Approvers
    sessions: SignInSessions
    log: AuditLogReader
    failures: AuthFailures
    logins: OwnLogins


def make_endpoints(services: MeServices, pages: Pages) -> dict[str, Endpoint]:
    """What answers at each path, or below one that ends with a slash."""
    visits = Visits(services.access, pages, services.browsers, services.failures)
    own = OwnPages(pages, services.browsers, services.holdings, services.approvers, services.sessions, services.logins)
    login_pages = LoginPages(pages, services.logins)
    approvals = ApprovalPages(pages, services.approvers)
    session_pages = SessionPages(pages, services.sessions)
    log_pages = LogPages(pages, services.log)

    return {
        ME_PATH: Endpoint(visits.reading(own.show), _READ, is_page=True),
        f"{ME_PATH}/signin": Endpoint(own.begin, _READ, is_page=True),
        f"{ME_PATH}/signout": Endpoint(visits.changing(own.sign_out), _CHANGE, is_page=True),
        f"{ME_PATH}/keys/": Endpoint(visits.changing(own.end_key), _CHANGE, is_page=True),
        f"{ME_PATH}/approvals/": Endpoint(visits.changing(approvals.approve), _CHANGE, is_page=True),
        logins.PATH: Endpoint(visits.changing(login_pages.change), _CHANGE, is_page=True),
        sessions.PATH: Endpoint(visits.reading(session_pages.show), _READ, is_page=True),
        f"{sessions.PATH}/": Endpoint(visits.changing(session_pages.end), _CHANGE, is_page=True),
        log.PATH: Endpoint(visits.reading(log_pages.show), _READ, is_page=True),
        log.EXPORT_PATH: Endpoint(visits.reading(log_pages.export), _READ, is_page=True),
    }
