"""A call whose store goes away meanwhile is told of the store, and only of what is known to have been sent or not."""

import logging

import pytest

from orgserver.model.errors import StoreError
from orgserver.salesforce.exchange import Trace
from orgserver.services.calls.failures import failure_of

AWAY = StoreError("the store's server does not answer")


@pytest.mark.parametrize(("sent", "outcome"), [(False, "not_sent"), (True, "unknown")])
def test_a_store_that_is_away_is_no_defect(sent: bool, outcome: str, caplog: pytest.LogCaptureFixture) -> None:
    trace = Trace()
    trace.sent = sent

    error = failure_of(AWAY, trace, "entry")

    assert (error.code, error.outcome, error.hint) == ("STORE_UNAVAILABLE", outcome, str(AWAY))
    assert not caplog.records


def test_a_defect_is_one_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        error = failure_of(ValueError("no"), Trace(), "entry")

    assert (error.code, error.outcome) == ("INTERNAL", "not_sent")
    assert caplog.records[0].exc_info
