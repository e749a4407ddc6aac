"""The quick size: a server over HTTP that is ended under load leaves nothing unanswered."""

from .ending import ended

SEED = 16


async def test_what_servers_began_when_they_were_ended_under_load_is_answered_and_on_record() -> None:
    done = await ended(2, seed=SEED)

    print(f"seed {SEED}: {done}")
    assert done.holds, str(done)
