"""What Prometheus scrapes: how requests and calls to Box ended, and how workers fare.

Beside a request, never on its way: ``audit`` and the Box client say here what came of
each. A label is an id of the configuration, a code of ours or a word of this source,
and nothing that a caller chooses or that Box sent. docs/metrics.md is the reference.

Where ``serve`` has several workers, each counts in files of its own, in a folder that
they share, and the one that is scraped adds all up: prometheus_client's multiprocess
mode (prometheus.github.io/client_python/multiprocess).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from typing_extensions import override

from sso_box_api.audit import RequestEvent
from sso_box_api.backlog import Backlog
from sso_box_api.box import Box, CallKind, CallOutcome
from sso_box_api.identity import IdentityVerifier
from sso_box_api.memory import Memory
from sso_box_api.trail import Trail

_SAMPLE_EVERY_S: Final = 1.0
# From a login that is remembered to the deadline of a first one.
_EXCHANGE_S: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 8.0, 20.0)
_CALL_S: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Worker(NamedTuple):
    """What knows how this process fares."""

    memory: Memory
    box: Box
    verifier: IdentityVerifier
    trail: Trail | None


class Metrics:
    """The counts of this process. There is one in a process at a time."""

    def __init__(self) -> None:
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._folder = _Folder(Path(folder)) if folder else None
        # prometheus_client itself looks when it is imported, which may have been before.
        values.ValueClass = (
            values.MultiProcessValue(self._folder.own_place)
            if self._folder
            else values.MutexValue
        )
        disable_created_metrics()
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "sso_box_requests",
            "Requests with an audit event, by what came of them",
            ("event", "outcome", "code", "provider", "vend"),
            registry=registry,
        )
        self._seconds = Histogram(
            "sso_box_exchange_duration_seconds",
            "How long exchanges took",
            ("outcome",),
            buckets=_EXCHANGE_S,
            registry=registry,
        )
        self._first_logins = Counter(
            "sso_box_first_logins",
            "Exchanges that found no Box user bound, by what came of them",
            ("outcome", "provider"),
            registry=registry,
        )
        # To look them up anew for each request would cost more than to count.
        self._ends: dict[tuple[str | None, ...], tuple[Counter, Histogram | None]] = {}
        calls = Counter(
            "sso_box_box_calls",
            "Attempts of calls to Box, by what came of them",
            ("kind", "outcome"),
            registry=registry,
        )
        call_seconds = Histogram(
            "sso_box_box_call_duration_seconds",
            "How long attempts that were sent to Box took",
            ("kind",),
            buckets=_CALL_S,
            registry=registry,
        )
        # All of them from the start: a rate needs a first value.
        self._calls = {
            (kind, outcome): calls.labels(kind, outcome)
            for kind in get_args(CallKind)
            for outcome in get_args(CallOutcome)
        }
        self._call_seconds = {
            kind: call_seconds.labels(kind) for kind in get_args(CallKind)
        }
        self._state = _WorkerState(registry)

    def count_request(self, event: RequestEvent, seconds: float) -> None:
        """Count a request that has ended, which took ``seconds``."""
        key = (event.event, event.outcome, event.code, event.provider, event.vend)
        end = self._ends.get(key)
        if end is None:
            end = self._ends[key] = self._end(event)
        requests, durations = end
        requests.inc()
        if durations is not None:
            durations.observe(seconds)
        if event.first_login:
            self._first_logins.labels(event.outcome, event.provider or "").inc()

    def count_call(self, kind: CallKind, outcome: CallOutcome, seconds: float) -> None:
        """Count one attempt of a call to Box, which took ``seconds`` if it was sent."""
        self._calls[kind, outcome].inc()
        if outcome != "unsent":
            self._call_seconds[kind].observe(seconds)

    def close(self) -> None:
        """Close the files; nothing may be counted after."""
        if self._folder:
            values.ValueClass.close_all_files()
            self._folder.leave()

    @asynccontextmanager
    async def watching(self, worker: Worker) -> AsyncIterator[None]:
        """Keep note of how this worker fares, for whichever one is scraped."""
        self._state.worker = worker
        sampling = asyncio.create_task(self._sample_for_ever())
        try:
            yield
        finally:
            sampling.cancel()
            await asyncio.wait([sampling])

    async def render(self, backlog: Backlog | None) -> bytes:
        """Write everything in Prometheus's text format, with the counts of all workers.

        ``backlog``: None where the database does not tell.
        """
        self._state.sample()
        # To read the files of many workers takes longer than a request should wait.
        return await asyncio.to_thread(self._write, backlog)

    def _write(self, backlog: Backlog | None) -> bytes:
        counts: Collector = self._registry
        if self._folder:
            self._folder.bury_the_dead()
            counts = MultiProcessCollector(None, str(self._folder.path))
        return generate_latest(counts) + generate_latest(_Rows(backlog))

    def _end(self, event: RequestEvent) -> tuple[Counter, Histogram | None]:
        requests = self._requests.labels(
            event.event,
            event.outcome,
            event.code or "",
            event.provider or "",
            event.vend or "",
        )
        is_exchange = event.event == "exchange"
        return requests, self._seconds.labels(event.outcome) if is_exchange else None

    async def _sample_for_ever(self) -> None:
        while True:
            self._state.sample()
            await asyncio.sleep(_SAMPLE_EVERY_S)


class _WorkerState:
    """Gauges of which each worker sets its own, and their sum is what is scraped."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(
                f"sso_box_workers{name}",
                text,
                labels,
                registry=registry,
                # Without the parts of those that have ended.
                multiprocess_mode="livesum",
            )

        self.worker: Worker | None = None
        self._workers = gauge("", "Workers that run")
        self._listening = gauge("_listening", "Workers that hear of every lock")
        self._failing = gauge("_box_failing", "Workers whose latest call to Box failed")
        self._paused = gauge(
            "_box_paused", "Workers that send Box no such calls for a while", "kind"
        )
        self._stale = gauge(
            "_keys_stale", "Workers without keys within their time", "provider"
        )
        self._dropped = Counter(
            "sso_box_audit_events_dropped",
            "Audit events that were lost",
            registry=registry,
        )
        self._dropped_before = 0

    def sample(self) -> None:
        if self.worker is None:
            return
        memory, box, verifier, trail = self.worker
        self._workers.set(1)
        self._listening.set(memory.is_live)
        self._failing.set(box.state() == "failing")
        for kind, is_paused in box.pauses().items():
            self._paused.labels(kind).set(is_paused)
        for provider, keys in verifier.key_states().items():
            self._stale.labels(provider).set(keys.state in {"stale", "unavailable"})
        if trail is not None:
            dropped = trail.dropped
            self._dropped.inc(dropped - self._dropped_before)
            self._dropped_before = dropped


class _Rows(Collector):
    """What the database says, read for this very scrape."""

    def __init__(self, backlog: Backlog | None) -> None:
        self._backlog = backlog

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(
            "sso_box_database_up",
            "Whether PostgreSQL answered",
            value=self._backlog is not None,
        )
        if self._backlog is None:
            return
        for name, text, value in (
            (
                "database_is_read_only",
                "Whether PostgreSQL is a standby, or takes no writes for another reason",
                self._backlog.is_read_only,
            ),
            (
                "pending_revocations",
                "Box tokens that are to be revoked and that Box has not ended yet",
                self._backlog.pending_revocations,
            ),
            (
                "suspensions",
                "Providers and clients that are locked as a whole",
                self._backlog.suspensions,
            ),
            (
                "left_over_box_users",
                "Box users of nobody that are not deleted yet",
                self._backlog.left_over_box_users,
            ),
        ):
            yield GaugeMetricFamily(f"sso_box_{name}", text, value=value)


class _Folder:
    """Where workers count, each in the files of its place.

    Not of its process id, as prometheus_client has it: each death would leave files, and
    once they fill the memory behind the folder, whoever writes there is killed. Who has
    a place holds a lock, which ends with the process, however that ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = 0
        while (held := self._hold(self._place)) is None:
            self._place += 1
        self._held = held
        # Who had it before counts on in this one, and says no more of itself.
        mark_process_dead(self._place, path)

    def own_place(self) -> int:
        return self._place

    def leave(self) -> None:
        os.close(self._held)

    def bury_the_dead(self) -> None:
        """Take what workers that have ended said of themselves out of the sums."""
        for file in self.path.glob("*.lock"):
            place = int(file.stem)
            held = self._hold(place)
            if held is not None:
                mark_process_dead(place, self.path)
                os.close(held)

    def _hold(self, place: int) -> int | None:
        """Return a descriptor that locks a place; None while somebody has it."""
        import fcntl  # noqa: PLC0415 - Windows has none, and there one worker

        name = self.path / f"{place}.lock"
        descriptor = os.open(name, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
