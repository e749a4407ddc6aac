"""Hostile requests over HTTP: nobody gets in, nothing leaks, nothing fails inside, nothing hangs."""

import random

from orgserver.app import App
from tests.serving.over_http.served import serving

from .hostile_bytes import HostileBytes
from .hostile_http import Attack, HostileHttp

COUNT = 500


async def test_hostile_requests_get_nothing_and_break_nothing(app: App) -> None:
    async with serving(app, rate=1_000_000.0, in_flight=1_000) as served:
        key = await served.make_key("ada", "acme:read,write")
        host = served.url.removeprefix("http://")
        figures = await Attack(host, key, [key], random.randrange(1_000_000)).run(COUNT)

    assert figures.count == COUNT
    assert figures.holds, str(figures)
    assert {400, 401, 403, 404, 413, 421, 431} <= figures.statuses.keys()


async def test_the_judge_itself_sees_an_answer_a_failure_and_a_leak() -> None:
    attack = Attack("127.0.0.1:1", "osk_key", ["5Aep861"], 1)
    hostile = HostileBytes("127.0.0.1:1", "osk_key", 1).framing()
    for answer in (
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
        b"HTTP/1.1 400 Bad\r\n\r\n5Aep861",
    ):
        attack.judge(hostile, answer)

    figures: HostileHttp = attack.figures
    assert [len(each) for each in (figures.unauthenticated, figures.failures, figures.leaks)] == [1, 1, 1]
    assert not figures.holds
