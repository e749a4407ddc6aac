"""Who a user of an org is, as the userinfo and the identity URL tell it.

The names are those of Salesforce's own collection of requests for userinfo, and of the Mobile SDK guide's page on the
identity URL.
"""

from __future__ import annotations

from typing import Any

from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state.users import SandboxUser

_SERVICES = {
    "enterprise": "/services/Soap/c/{version}/",
    "metadata": "/services/Soap/m/{version}/",
    "partner": "/services/Soap/u/{version}/",
    "rest": "/services/data/v{version}/",
    "sobjects": "/services/data/v{version}/sobjects/",
    "search": "/services/data/v{version}/search/",
    "query": "/services/data/v{version}/query/",
    "recent": "/services/data/v{version}/recent/",
    "tooling_soap": "/services/Soap/T/{version}/",
    "tooling_rest": "/services/data/v{version}/tooling/",
    "feeds": "/services/data/v{version}/chatter/feeds",
    "groups": "/services/data/v{version}/chatter/groups",
    "users": "/services/data/v{version}/chatter/users",
    "feed_items": "/services/data/v{version}/chatter/feed-items",
    "feed_elements": "/services/data/v{version}/chatter/feed-elements",
}


def userinfo(org: SandboxOrg, user: SandboxUser) -> dict[str, Any]:
    """The OpenID Connect answer, of a user who logs in at one URL, and whose org may live at another."""
    url, user_id, username = org.instance_url, user.id, user.username
    urls = {name: url + path for name, path in _SERVICES.items()}
    picture = f"{url}/profilephoto/005"
    return {
        "sub": f"{org.url}/id/{org.org_id}/{user_id}",
        "user_id": user_id,
        "organization_id": org.org_id,
        "preferred_username": username,
        "nickname": user.first_name.lower(),
        "name": user.name,
        "email": username,
        "email_verified": True,
        "given_name": user.first_name,
        "family_name": user.last_name,
        "zoneinfo": user.time_zone,
        "photos": {"picture": f"{picture}/F", "thumbnail": f"{picture}/T"},
        "profile": f"{url}/{user_id}",
        "picture": f"{picture}/F",
        "address": {},
        "is_salesforce_integration_user": False,
        "urls": urls | {"profile": f"{url}/{user_id}", "custom_domain": url},
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": 3_600_000,
        "updated_at": f"{org.clock():%Y-%m-%dT%H:%M:%SZ}",
        "is_app_installed": True,
    }


def identity(user: dict[str, Any], version: str | None) -> dict[str, Any]:
    """What the identity URL tells; its URLs name an API version only where one was asked for."""
    urls = user["urls"]
    if version is not None:
        urls = {name: url.replace("{version}", version) for name, url in urls.items()}
    return {
        "id": user["sub"],
        "asserted_user": True,
        "user_id": user["user_id"],
        "organization_id": user["organization_id"],
        "username": user["preferred_username"],
        "nick_name": user["nickname"],
        "display_name": user["name"],
        "email": user["email"],
        "email_verified": user["email_verified"],
        "first_name": user["given_name"],
        "last_name": user["family_name"],
        "timezone": user["zoneinfo"],
        "photos": user["photos"],
        "addr_street": None,
        "addr_city": None,
        "addr_country": None,
        "mobile_phone": None,
        "mobile_phone_verified": False,
        "is_lightning_login_user": False,
        "status": {"created_date": None, "body": None},
        "urls": urls,
        "active": user["active"],
        "user_type": user["user_type"],
        "language": user["language"],
        "locale": user["locale"],
        "utcOffset": user["utcOffset"],
        "last_modified_date": user["updated_at"],
        "is_app_installed": user["is_app_installed"],
    }
