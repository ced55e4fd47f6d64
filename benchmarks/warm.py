"""Warm exchange beside the bare FastAPI route, on one core: tokens seen and never seen.

All people have a live Box token. ``seen`` asks with the ID tokens they used before, as
pages do that load again; each token of ``never_seen`` has a signature of its own.
"""

from functools import partial

from benchmarks.rounds import Measured, Size, alternate, asked, fitting, medians, ratio
from benchmarks.stack import Server, Stack

CONNECTIONS = 32
PEOPLE = 120


def measure(
    stack: Stack, service: Server, bare: Server, size: Size
) -> dict[str, object]:
    people = stack.people(PEOPLE)
    tokens = stack.tokens(people)
    stack.load.run(service.token_url, tokens, connections=8)
    requests = {
        server.name: fitting(stack, server, tokens, size.round_s)
        for server in (bare, service)
    }

    def seen(server: Server) -> Measured:
        return asked(stack, server, tokens, requests=requests[server.name])

    def never_seen() -> Measured:
        fresh = requests[service.name] // 2
        return asked(stack, service, [stack.token(p) for p in _cycled(people, fresh)])

    taken = alternate(
        size.rounds,
        {
            "bare": partial(seen, bare),
            "seen": partial(seen, service),
            "never_seen": never_seen,
        },
    )
    return {
        "connections": CONNECTIONS,
        "rounds": size.rounds,
        "requests": {name: of[0].round.requests for name, of in taken.items()},
        "median": {name: medians(of) for name, of in taken.items()},
        "ratio_to_bare": {
            name: _ratios(taken[name], taken["bare"]) for name in ("seen", "never_seen")
        },
        "busy_at_bare": taken["bare"][-1].busy,
    }


def _cycled(people: list[str], many: int) -> list[str]:
    return [people[number % len(people)] for number in range(many)]


def _ratios(ours: list[Measured], bare: list[Measured]) -> dict[str, object]:
    return {
        "per_s": ratio(ours, bare),
        "p99": ratio(ours, bare, lambda m: m.round.p99_ms),
        "server_cpu": ratio(ours, bare, lambda m: m.cpu_ms),
    }
