"""An org whose API calls are nearly used up is spoken of."""

import pytest

from orgserver.app import App
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.salesforce.exchange import Trace, read_api_usage
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.queries.list_query import Listing
from tests import operations


@pytest.mark.parametrize(
    ("header", "used"),
    [
        ("api-usage=18/5000", (18, 5000)),
        ("api-usage=25/5000; per-app-api-usage=17/250(appName=sample-app)", (25, 5000)),
        ("", None),
        (None, None),
        ("api-usage=x/y", None),
    ],
)
def test_the_header_is_read(header: str | None, used: tuple[int, int] | None) -> None:
    assert read_api_usage(header) == used


@pytest.mark.parametrize(
    ("header", "warned"), [("api-usage=4500/5000", True), ("api-usage=4499/5000", False), ("api-usage=0/0", False)]
)
def test_it_warns_from_nine_tenths_on(header: str, warned: bool) -> None:
    assert (Trace(limit_info=header).warn_of_usage() is not None) is warned


async def test_a_result_carries_the_warning(app: App, caller: Caller, acme: SandboxOrg) -> None:
    quiet = await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))
    acme.daily_limit = acme.counters.api_calls + 1
    page = await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))

    assert quiet.warnings == ()
    assert "API calls" in page.warnings[0]
