"""What one exchange with an org costs of the processor: `python -m tests.bench.exchange`.

A read of ten contacts through the client, from the request's parts to the JSON of its reply, with one caller and with
64; the org is a process of its own, and answers plainly or, as Salesforce does, with gzip and in chunks.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time

import uvloop

from orgserver.model.orgs import OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.protocol.messages import Request

READ = Request("GET", "/services/data/v68.0/query", (("q", "SELECT Id, Name, Email FROM Contact LIMIT 10"),))
TOKEN = Secret("00DSb0000000001!AQbench")


async def send_many(client: SalesforceClient, hosts: OrgHosts, calls: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(calls):
        reply = await client.send(hosts, TOKEN, READ, deadline=loop.time() + 60, trace=Trace())
        assert len(reply.body["records"]) == 10


async def measure(address: str, callers: int, calls: int) -> tuple[float, float]:
    """Microseconds of processor and of time for one exchange."""
    hosts = OrgHosts("row", f"http://{address}", f"http://{address}", (address,))
    client = SalesforceClient(concurrency=callers)
    await asyncio.gather(*(send_many(client, hosts, 20) for _ in range(callers)))
    each = calls // callers
    processor, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(send_many(client, hosts, each) for _ in range(callers)))
    spent, took = time.process_time() - processor, time.perf_counter() - began
    await client.aclose()
    return spent / (each * callers) * 1e6, took / (each * callers) * 1e6


def run(calls: int, rounds: int) -> None:
    print(f"{'exchange of ten contacts':<28}{'callers':>8}{'CPU, us':>10}{'time, us':>10}")
    for form in ("plain", "packed"):
        command = [sys.executable, "-m", "tests.bench.upstream", *(["--packed"] if form == "packed" else [])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as upstream:
            assert upstream.stdout is not None
            address = f"127.0.0.1:{upstream.stdout.readline().split()[0]}"
            for callers in (1, 64):
                figures = [uvloop.run(measure(address, callers, calls)) for _ in range(rounds)]
                cpu, took = (statistics.median(column) for column in zip(*figures, strict=True))
                print(f"{form:<28}{callers:>8}{cpu:>10.0f}{took:>10.0f}")
            upstream.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.exchange", description=__doc__)
    parser.add_argument("--calls", type=int, default=3_200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    run(options.calls, options.rounds)
