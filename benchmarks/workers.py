"""Warm exchange with one worker and with two, over all cores.

Where there are two cores only, the load generator and PostgreSQL want their part of
them too, so that the second worker brings less than it would on a larger machine.
"""

from contextlib import ExitStack
from functools import partial

from benchmarks import machine
from benchmarks.rounds import Measured, Size, alternate, asked, fitting, medians, ratio
from benchmarks.stack import Server, Stack

WORKERS = (1, 2)
PEOPLE = 32


def measure(stack: Stack, database_url: str, size: Size) -> dict[str, object]:
    tokens = stack.tokens(stack.people(PEOPLE))
    with ExitStack() as running:
        services = {
            str(workers): running.enter_context(
                stack.service(database_url, workers=workers, pinned=False)
            )
            for workers in WORKERS
        }
        for service in services.values():
            # Often enough that each worker has seen each token.
            stack.load.run(
                service.token_url, tokens, requests=10 * PEOPLE, connections=32
            )
        many = fitting(stack, services["1"], tokens, size.round_s)

        def run(service: Server) -> Measured:
            return asked(stack, service, tokens, requests=many)

        runs = {w: partial(run, service) for w, service in services.items()}
        rounds = min(3, size.rounds)
        taken = alternate(rounds, runs)
        return {
            "rounds": rounds,
            "requests": many,
            "median": {workers: medians(of) for workers, of in taken.items()},
            "ratio_of_two_to_one": ratio(taken["2"], taken["1"]),
            "memory_mb": {
                workers: machine.memory_mb(service.pid)
                for workers, service in services.items()
            },
        }
