"""The service beside Box's documented quickstarts: 32 logins at once, on one core.

The same tokens, the same emulator, which adds 0 or 30 ms to each call. ``warm`` are
people who were here before: the service has their Box tokens, while a quickstart asks
Box at each page load. ``first`` are people who log in for the first time.
"""

from collections.abc import Sequence
from functools import partial

from benchmarks.rounds import Measured, Size, alternate, asked, fitting, medians, ratio
from benchmarks.stack import Server, Stack

AT_ONCE = 32
# First logins are what costs Box calls on both sides; one setting tells it.
FIRST_LOGIN_LATENCY_MS = 30
LATENCIES_MS = (0, 30)
# It does some 20 a second, so one wave of them takes as long as it needs to.
_FEWER = {"flask": AT_ONCE}


def measure(
    stack: Stack, service: Server, others: Sequence[Server], size: Size
) -> dict[str, object]:
    servers = [service, *others]
    tokens = stack.tokens(stack.people(AT_ONCE))
    for server in servers:
        stack.load.run(server.token_url, tokens, connections=4)
    report: dict[str, object] = {"at_once": AT_ONCE, "rounds": _rounds(size)}
    for latency_ms in LATENCIES_MS:
        stack.add_latency(latency_ms)
        report[f"warm_{latency_ms}_ms"] = _warm(stack, servers, tokens, size)
    stack.add_latency(FIRST_LOGIN_LATENCY_MS)
    report[f"first_{FIRST_LOGIN_LATENCY_MS}_ms"] = _first(stack, servers, size)
    stack.add_latency(0)
    return report


def _rounds(size: Size) -> int:
    # Flask takes seconds for each; the ratios are large.
    return min(3, size.rounds)


def _warm(
    stack: Stack, servers: list[Server], tokens: list[str], size: Size
) -> dict[str, object]:
    service = servers[0]
    many = {server.name: _logins(server, size) for server in servers}
    many[service.name] = fitting(stack, service, tokens, size.round_s)

    def run(server: Server) -> Measured:
        return asked(stack, server, tokens, requests=many[server.name])

    runs = {server.name: partial(run, server) for server in servers}
    return _report(alternate(_rounds(size), runs))


def _first(stack: Stack, servers: list[Server], size: Size) -> dict[str, object]:
    def run(server: Server) -> Measured:
        people = stack.people(_logins(server, size))
        return asked(stack, server, stack.tokens(people))

    runs = {server.name: partial(run, server) for server in servers}
    return _report(alternate(_rounds(size), runs))


def _logins(server: Server, size: Size) -> int:
    return _FEWER.get(server.name, size.logins)


def _report(taken: dict[str, list[Measured]]) -> dict[str, object]:
    ours, *others = taken
    return {
        "logins": {name: rounds[0].round.requests for name, rounds in taken.items()},
        "median": {name: medians(rounds) for name, rounds in taken.items()},
        "ratio_to": {
            name: {
                "per_s": ratio(taken[ours], taken[name]),
                "server_cpu": ratio(taken[name], taken[ours], lambda m: m.cpu_ms),
            }
            for name in others
        },
    }
