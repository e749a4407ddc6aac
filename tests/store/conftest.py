"""Every new store of the store's own tests is made by the migrations themselves."""

import pytest


@pytest.fixture(autouse=True)
def _quick_new_stores() -> None:
    """Nothing is put in their place here."""
