"""Side by side: each round asks every server, and a ratio is of one round.

A busy neighbour then slows both sides of a ratio; the order turns round from one round
to the next, so that a trend favours nobody.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks import machine
from benchmarks.load import Round
from benchmarks.stack import Server, Stack

_WARM_UPS = 1


class Size(NamedTuple):
    """How much is measured. ``round_s``: about how long a round of a fast server is."""

    rounds: int
    round_s: float
    logins: int
    alone: int
    counted: int
    starts: int
    finds: int


FULL = Size(
    rounds=5, round_s=1.0, logins=96, alone=20, counted=40, starts=3, finds=3_000
)
# Says whether everything works, not how fast it is.
QUICK = Size(rounds=1, round_s=0.1, logins=32, alone=2, counted=5, starts=1, finds=200)


class Measured(NamedTuple):
    """One server's part of one round."""

    round: Round
    server_cpu_s: float

    @property
    def cpu_ms(self) -> float:
        """CPU of the server for one request: hardly moved by what others do."""
        return 1e3 * self.server_cpu_s / self.round.requests

    @property
    def busy(self) -> dict[str, float]:
        """Shares of a core: that of the generator must be the smaller one."""
        seconds = self.round.seconds
        return {
            "server": rounded(self.server_cpu_s / seconds),
            "generator": rounded(self.round.cpu_s / seconds),
        }


def asked(
    stack: Stack,
    server: Server,
    tokens: Sequence[str],
    *,
    requests: int | None = None,
    connections: int = 32,
) -> Measured:
    """Run one round, and note what CPU it cost the server."""
    before = machine.cpu_s(server.pid)
    done = stack.load.run(
        server.token_url, tokens, requests=requests, connections=connections
    )
    return Measured(done, machine.cpu_s(server.pid) - before)


def fitting(stack: Stack, server: Server, tokens: Sequence[str], seconds: float) -> int:
    """Return how many requests with these tokens take about so long, at least 100."""
    trial = asked(stack, server, tokens, requests=300)
    return max(100, round(seconds * trial.round.rate))


def alternate(
    rounds: int, runs: Mapping[str, Callable[[], Measured]]
) -> dict[str, list[Measured]]:
    """Run all in turn, forwards and backwards; the first round warms up."""
    results: dict[str, list[Measured]] = {name: [] for name in runs}
    for number in range(rounds + _WARM_UPS):
        names = list(runs)[:: 1 if number % 2 else -1]
        for name in names:
            results[name].append(runs[name]())
    return {name: taken[_WARM_UPS:] for name, taken in results.items()}


def medians(taken: Iterable[Measured]) -> dict[str, float]:
    taken = list(taken)
    return {
        "per_s": round(median(m.round.rate for m in taken), 1),
        "p50_ms": round(median(m.round.p50_ms for m in taken), 2),
        "p99_ms": round(median(m.round.p99_ms for m in taken), 2),
        "server_cpu_ms": round(median(m.cpu_ms for m in taken), 3),
    }


def ratio(
    of: Iterable[Measured],
    to: Iterable[Measured],
    figure: Callable[[Measured], float] = lambda m: m.round.rate,
) -> dict[str, float]:
    """Median, least and greatest of the rounds' ratios; of the rates by default."""
    ratios = [figure(a) / figure(b) for a, b in zip(of, to, strict=True)]
    return {
        "median": rounded(median(ratios)),
        "min": rounded(min(ratios)),
        "max": rounded(max(ratios)),
    }


def rounded(value: float) -> float:
    """Three digits."""
    return float(f"{value:.3g}")
