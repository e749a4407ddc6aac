"""The quick size: whatever is done to a copied audit log is found, at the entry it was done to."""

from .tampering import tampering

SEED = 20


async def test_every_tampering_is_found_at_its_first_entry_and_clean_stores_raise_no_alarm() -> None:
    done = await tampering(count=2_000, clean=20, seed=SEED)

    assert done.holds, str(done)
    assert done.tamperings.total() > 1_900, str(done)
