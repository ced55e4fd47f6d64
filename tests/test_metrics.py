"""GET /metrics tells what happened, to whoever has its token, and of nobody's choosing."""

import fcntl
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.values import MultiProcessValue
from pydantic import ValidationError
from sqlalchemy import text
from starlette.applications import Starlette

from sso_box_api.app import create_app
from sso_box_api.cli import service
from sso_box_api.parts import Parts
from sso_box_api.settings import Settings
from sso_box_api.trail import Trail
from sso_box_devkit.box import Enterprise
from tests.support.api import ISSUER, Api, Control
from tests.support.relay import Relay
from tests.support.secrecy import WATCH
from tests.support.waiting import until

TOKEN = "b64token-of.the~scraper+1/2=="
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def settings_values(settings_values: dict[str, Any]) -> dict[str, Any]:
    WATCH.secret("metrics token", TOKEN)
    settings_values["metrics_token"] = TOKEN
    return settings_values


async def _scrape(api: Api) -> dict[str, float]:
    """Every sample, by its name and labels as they are written."""
    answer = await api.http.get("/metrics", headers=AUTHORIZED)
    assert answer.status_code == 200
    lines = [x for x in answer.text.splitlines() if not x.startswith("#")]
    samples = dict(line.rsplit(" ", 1) for line in lines)
    assert len(samples) == len(lines)
    return {name: float(value) for name, value in samples.items()}


def _requests(
    samples: Mapping[str, float], event: str, outcome: str, code: str = "", **more: str
) -> float:
    provider, vend = more.get("provider", "main"), more.get("vend", "")
    return samples[
        f'sso_box_requests_total{{code="{code}",event="{event}",outcome="{outcome}",'
        f'provider="{provider}",vend="{vend}"}}'
    ]


async def _until(api: Api, sample: str, value: float) -> None:
    async def is_so() -> bool:
        return (await _scrape(api))[sample] == value

    await until(is_so)


# --- what is counted ------------------------------------------------------------------


async def test_a_granted_exchange_is_counted_by_how_its_token_came_about(
    api: Api,
) -> None:
    await _until(api, "sso_box_workers_listening", 1)
    for _ in range(3):
        assert (await api.exchange()).is_success
    assert (await api.exchange(profile="preview", door="oauth")).is_success
    samples = await _scrape(api)
    assert _requests(samples, "exchange", "granted", vend="minted") == 2
    assert _requests(samples, "exchange", "granted", vend="remembered") == 2
    first = 'sso_box_first_logins_total{outcome="granted",provider="main"}'
    assert samples[first] == 1
    seconds = "sso_box_exchange_duration_seconds"
    assert samples[f'{seconds}_count{{outcome="granted"}}'] == 4
    assert samples[f'{seconds}_bucket{{le="+Inf",outcome="granted"}}'] == 4
    assert samples[f'{seconds}_bucket{{le="0.001",outcome="granted"}}'] < 4
    assert samples[f'{seconds}_sum{{outcome="granted"}}'] > 0


async def test_what_was_not_granted_is_counted_by_its_code(
    api: Api, box: Control
) -> None:
    await api.exchange("a.b.c")
    await api.exchange(api.id_token(iss="https://x.example"), door="oauth")
    await api.exchange(profile="nothing")
    await box.fault("POST", "/2.0/users", status=429)
    await api.exchange()
    samples = await _scrape(api)
    for code in ("token_malformed", "token_untrusted_issuer"):
        assert _requests(samples, "exchange", "refused", code, provider="") == 1
    assert _requests(samples, "exchange", "refused", "unknown_profile") == 1
    assert _requests(samples, "exchange", "failed", "box_unavailable") == 1
    first = 'sso_box_first_logins_total{outcome="failed",provider="main"}'
    assert samples[first] == 1


async def test_a_sign_out_and_a_revocation_are_counted(api: Api) -> None:
    token = (await api.exchange()).json()["access_token"]
    who = {"Authorization": f"Bearer {api.id_token()}"}
    form = {"token": token}
    assert (await api.http.post("/oauth2/revoke", data=form, headers=who)).is_success
    assert (await api.http.delete("/v1/tokens", headers=who)).is_success
    samples = await _scrape(api)
    assert _requests(samples, "revoke", "done") == 1
    assert _requests(samples, "sign_out", "done") == 1


async def test_every_call_to_box_is_counted_by_its_kind(api: Api, box: Control) -> None:
    await box.requests()
    assert (await api.exchange()).is_success
    sent = await box.requests()
    to_tokens = sent.count("POST /oauth2/token")
    samples = await _scrape(api)
    for kind, count in (("token", to_tokens), ("api", len(sent) - to_tokens)):
        assert count
        assert _calls(samples, kind, "ok") == count
        seconds = f'sso_box_box_call_duration_seconds_count{{kind="{kind}"}}'
        assert samples[seconds] == count
    assert _calls(samples, "upload", "ok") == 0


def _calls(samples: Mapping[str, float], kind: str, outcome: str) -> float:
    return samples[f'sso_box_box_calls_total{{kind="{kind}",outcome="{outcome}"}}']


async def test_calls_that_box_does_not_do_are_told_apart(
    api: Api, box: Control
) -> None:
    await box.settings(user_tokens_enabled=False)
    assert (await api.exchange()).status_code == 502
    assert _calls(await _scrape(api), "token", "refused") == 1
    await box.settings(user_tokens_enabled=True)
    await box.fault("POST", "/oauth2/token", status=429, headers={"Retry-After": "0"})
    await box.fault("POST", "/oauth2/token", status=503, headers={"Retry-After": "0"})
    assert (await api.exchange()).is_success
    samples = await _scrape(api)
    assert _calls(samples, "token", "throttled") == 1
    assert _calls(samples, "token", "failed") == 1


async def test_a_box_that_fails_is_seen_and_so_is_the_pause_that_follows(
    settings_values: dict[str, Any],
    box: Control,
    emulator: Starlette,
    idp_app: Starlette,
) -> None:
    settings_values["box"]["breaker_failures"] = 1
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        before = await _scrape(api)
        await box.fault("GET", "/2.0/users", status=503, times=10)
        assert (await api.exchange()).status_code == 503
        samples = await _scrape(api)
    for sample in (
        "sso_box_workers_box_failing",
        'sso_box_workers_box_paused{kind="api"}',
    ):
        assert (before[sample], samples[sample]) == (0, 1)
    assert samples['sso_box_workers_box_paused{kind="token"}'] == 0
    assert _calls(samples, "api", "failed") == 1
    assert _calls(samples, "api", "unsent") >= 1
    # What was not sent took no time of Box's.
    assert samples['sso_box_box_call_duration_seconds_count{kind="api"}'] == 1


async def test_what_is_left_to_do_is_what_readyz_says(
    api: Api, parts: Parts, box: Control
) -> None:
    assert (await api.exchange()).is_success
    await box.fault("POST", "/oauth2/revoke", status=503, times=1000)
    for statement in (
        "UPDATE vend SET state = 'revoke_pending'",
        "INSERT INTO suspension VALUES ('provider', 'another', 'an incident')",
        "INSERT INTO suspension VALUES ('client', 'spa', 'an incident')",
        "INSERT INTO box_orphan (box_user_id, account_id, reason) SELECT '1', id, 'a race' FROM account",
    ):
        async with parts.database.transaction() as session:
            await (await session.connection()).execute(text(statement))
    ready = (await api.http.get("/readyz")).json()
    samples = await _scrape(api)
    names = ("pending_revocations", "suspensions", "left_over_box_users")
    assert [samples[f"sso_box_{name}"] for name in names] == [1, 2, 1]
    assert [ready[name] for name in names] == [1, 2, 1]
    assert samples["sso_box_database_up"] == 1
    assert samples["sso_box_database_is_read_only"] == 0


async def test_a_database_that_is_away_is_said_and_its_figures_are_left_out(
    settings_values: dict[str, Any],
    emulator: Starlette,
    idp_app: Starlette,
    way_to_database: Relay,
) -> None:
    settings_values["database_url"] = way_to_database.url
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        await _until(api, "sso_box_workers_listening", 1)
        way_to_database.cut()
        await _until(api, "sso_box_workers_listening", 0)
        samples = await _scrape(api)
    assert samples["sso_box_database_up"] == 0
    assert not {"sso_box_pending_revocations", "sso_box_suspensions"} & samples.keys()
    assert samples["sso_box_workers"] == 1


async def test_a_provider_that_is_down_leaves_its_keys_stale(
    settings: Settings, emulator: Starlette, idp_app: Starlette
) -> None:
    idp_app.state.idp.down = True
    try:
        async with Api.start(settings, emulator, idp_app) as api:
            await _until(api, 'sso_box_workers_keys_stale{provider="main"}', 1)
    finally:
        idp_app.state.idp.down = False


async def test_audit_events_that_are_lost_are_counted(
    settings: Settings, idp_app: Starlette
) -> None:
    mounts = {ISSUER: httpx.ASGITransport(idp_app)}
    reader, writer = os.pipe()
    try:
        trail = Trail(writer, most_lines=0)
        async with Api.start_with(settings, mounts, idp_app, trail=trail) as api:
            before = await _scrape(api)
            for _ in range(3):
                await api.exchange("a.b.c")
            after = [await _scrape(api) for _ in range(2)]
    finally:
        os.close(reader)
        os.close(writer)
    name = "sso_box_audit_events_dropped_total"
    assert [samples[name] for samples in (before, *after)] == [0, 3, 3]


async def test_every_metric_is_documented_with_its_type_and_labels(api: Api) -> None:
    assert (await api.exchange()).is_success
    written = (await api.http.get("/metrics", headers=AUTHORIZED)).text
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", written, re.MULTILINE))
    labels: dict[str, set[str]] = {name: set() for name in types}
    for name, held in re.findall(r"^(\w+?)(?:_bucket)?\{(.*)\}", written, re.MULTILINE):
        labels.get(name, set()).update(set(re.findall(r'(\w+)="', held)) - {"le"})
    page = (Path(__file__).parents[1] / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `(sso_box_\w+)` \| (\w+) \|(.*?)\|", page, re.MULTILINE)
    assert {name: kind for name, kind, _ in rows} == types
    documented = {name: set(re.findall(r"`(\w+)`", held)) for name, _, held in rows}
    assert documented == labels


# --- what no label says ---------------------------------------------------------------


async def test_nothing_that_a_caller_chooses_or_box_says_becomes_a_label(
    api: Api, settings: Settings, enterprise: Enterprise
) -> None:
    junk = "Chosen"
    await api.exchange(api.id_token(junk, email=f"{junk}@example.com", name=junk))
    await api.exchange(api.id_token(iss=f"https://{junk}.example"))
    await api.exchange(api.id_token(aud=junk))
    await api.exchange(api.id_token(header={"kid": junk}))
    for door in ("json", "oauth"):
        await api.exchange(profile=junk, door=door)
        await api.exchange(scope=[junk], door=door)
        await api.exchange(resource=junk, door=door)
    await api.exchange(door="oauth", client_id=junk)
    await api.http.post("/v1/token", headers={"X-Request-ID": junk})
    await api.http.get(f"/{junk}")
    written = (await api.http.get("/metrics", headers=AUTHORIZED)).text
    assert junk not in written
    [user] = enterprise.users.values()
    assert user.id not in written
    # By its form: each value is a word of ours, a number, or a configured id.
    values = set(re.findall(r'="([^"]*)"', written))
    assert "main" in values
    assert all(re.fullmatch(r"[a-z_]*|[0-9.]+|\+Inf", value) for value in values)
    assert settings.providers[0].client_ids[0] not in values


# --- who may scrape -------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer \u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4",
    ],
)
async def test_without_the_token_nothing_is_told(api: Api, header: str | None) -> None:
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    answer = await api.http.get("/metrics", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "metrics_token_wrong")
    assert answer.headers["www-authenticate"].startswith('Bearer realm="sso-box-api"')
    assert "sso_box_" not in answer.text


async def test_the_answer_is_prometheus_text_that_nobody_keeps(api: Api) -> None:
    answer = await api.http.get(
        "/metrics", headers={"Authorization": f"bearer {TOKEN}"}
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


async def test_guesses_are_limited_as_bad_tokens_are(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    settings_values["limits"] = {"bad_tokens_per_minute": 1}
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        guesses = [(await api.http.get("/metrics")).status_code for _ in range(2)]
        assert guesses == [401, 429]
        assert await _scrape(api)


async def test_without_the_setting_there_is_no_such_route(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> None:
    del settings_values["metrics_token"]
    settings = Settings.model_validate(settings_values)
    async with Api.start(settings, emulator, idp_app) as api:
        answer = await api.http.get("/metrics", headers=AUTHORIZED)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_document_for_pages_does_not_have_it(settings: Settings) -> None:
    assert "/metrics" not in create_app(settings).openapi()["paths"]


@pytest.mark.parametrize(
    "token", ["", "x" * 15, "x" * 256, "x" * 16 + " ", "\u00e4" * 16]
)
def test_a_token_that_is_short_or_cannot_be_sent_is_refused_at_start(
    settings_values: dict[str, Any], token: str
) -> None:
    settings_values["metrics_token"] = token
    with pytest.raises(ValidationError, match="metrics_token"):
        Settings.model_validate(settings_values)


# --- several workers ------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers count that ``serve`` starts from now on."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    return tmp_path


@contextmanager
def _sibling(folder: Path, place: int) -> Iterator[None]:
    """Another worker that served a person once and says that it runs, until it dies."""
    with (folder / f"{place}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        value = MultiProcessValue(lambda: place)
        labels = {
            "event": "exchange",
            "outcome": "granted",
            "code": "",
            "provider": "main",
            "vend": "minted",
        }
        requests = ("counter", "sso_box_requests", "sso_box_requests_total")
        told = "Requests with an audit event, by what came of them"
        value(*requests, labels.keys(), labels.values(), told).inc(1)
        for name in ("sso_box_workers", "sso_box_workers_of_old"):
            running = ("gauge", name, name, (), (), "")
            value(*running, multiprocess_mode="livesum").set(1)
        value.close_all_files()
        yield


async def test_the_counts_of_all_workers_are_summed_and_of_living_ones_the_state(
    folder: Path, settings: Settings, emulator: Starlette, idp_app: Starlette
) -> None:
    async with Api.start(settings, emulator, idp_app) as worker:
        assert (await worker.exchange()).is_success
        with _sibling(folder, 1):
            both = await _scrape(worker)
        alone = await _scrape(worker)
    for samples in (both, alone):
        assert _requests(samples, "exchange", "granted", vend="minted") == 2
        assert samples["sso_box_database_up"] == 1
        assert _calls(samples, "upload", "failed") == 0
    assert (both["sso_box_workers"], alone["sso_box_workers"]) == (2, 1)
    # As it would be for this one, once it has ended.
    gauges = [*folder.glob("gauge*")]  # noqa: ASYNC240 - a few names
    assert [file.name for file in gauges] == ["gauge_livesum_0.db"]


async def test_a_worker_counts_on_where_a_dead_one_stopped_and_leaves_no_more_files(
    folder: Path, settings: Settings, emulator: Starlette, idp_app: Starlette
) -> None:
    with _sibling(folder, 0):
        pass
    for already in (1, 2):
        async with Api.start(settings, emulator, idp_app) as worker:
            assert (await worker.exchange(worker.id_token(f"p{already}"))).is_success
            samples = await _scrape(worker)
        assert _requests(samples, "exchange", "granted", vend="minted") == already + 1
        assert samples["sso_box_workers"] == 1
        assert "sso_box_workers_of_old" not in samples
    counters = [*folder.glob("counter*")]  # noqa: ASYNC240 - a few names
    assert [file.name for file in counters] == ["counter_0.db"]


async def test_no_two_living_workers_count_in_the_same_files(
    folder: Path, settings: Settings, emulator: Starlette, idp_app: Starlette
) -> None:
    with _sibling(folder, 0):
        async with Api.start(settings, emulator, idp_app) as worker:
            samples = await _scrape(worker)
    assert samples["sso_box_workers"] == 2
    counters = {file.name for file in folder.glob("counter*")}  # noqa: ASYNC240 - the same
    assert counters == {"counter_0.db", "counter_1.db"}


def test_several_workers_have_a_private_folder_while_they_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of the environment's own, which may be anybody's, is not taken.
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    with service._counting_together(settings, 2):
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_no_folder_is_made_for_one_worker_or_without_the_setting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    if workers == 2:
        settings = settings.model_copy(update={"metrics_token": None})
    with service._counting_together(settings, workers):
        assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
