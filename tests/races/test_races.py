"""First logins at several servers at once: one Box user for each identity.

Each server is a process of its own, as ``serve`` runs it; they share the database alone.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import cycle
from typing import Any

import aiohttp
import httpx
import pytest
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette

from sso_box_api.accounts import external_id
from tests.races.conftest import FULL, LAG_S
from tests.support.api import ISSUER, Control
from tests.support.servers import free_port
from tests.support.victim import Victims

SERVERS = 4 if FULL else 2
OF_ONE = 200 if FULL else 20
IDENTITIES, OF_MANY = (500, 2000) if FULL else (10, 40)
POLICIES = ["allow", "conflict"] if FULL else ["allow"]


class Servers:
    """Logs people in at one server after the other, as a balancer would."""

    def __init__(self, http: httpx.AsyncClient, urls: list[str], idp: Any) -> None:
        self._http = http
        self._urls = cycle(urls)
        self._idp = idp
        self.answers: Counter[int] = Counter()

    async def log_in(self, subject: str) -> str:
        """Come back when told to; return the Box user in the end."""
        token = self._idp.mint(sub=subject, aud="demo-spa")
        headers = {"Authorization": f"Bearer {token}"}
        while True:
            url = next(self._urls)
            answer = await self._http.post(f"{url}/v1/token", headers=headers)
            self.answers[answer.status_code] += 1
            if answer.status_code == httpx.codes.OK:
                box_user_id: str = answer.json()["box_user_id"]
                return box_user_id
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
            await asyncio.sleep(float(answer.headers["retry-after"]))


@pytest.fixture
async def servers(
    victims: Victims, values: dict[str, Any], box: Control, idp_app: Starlette
) -> AsyncIterator[Servers]:
    await box.settings(lookup_lag_s=LAG_S, latency_ms=5)
    ports = [free_port() for _ in range(SERVERS)]
    processes = [victims.serve(values, port) for port in ports]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    async with httpx.AsyncClient(transport=_crowd(), timeout=300) as http:
        await asyncio.gather(*(_is_up(http, url) for url in urls))
        yield Servers(http, urls, idp_app.state.idp)
    for process in processes:
        process.terminate()
        process.join()


def _crowd() -> httpx.AsyncBaseTransport:
    """A connection for each login: hundreds that wait are too much for httpx's pool.

    None is kept, for the server may close one just when it is used again.
    """
    connector = partial(aiohttp.TCPConnector, limit=200, force_close=True)
    return AiohttpTransport(client=lambda: aiohttp.ClientSession(connector=connector()))


async def _is_up(http: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                if (await http.get(f"{url}/livez")).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("policy", POLICIES)
async def test_logins_at_several_servers_at_once_make_one_user_for_each_identity(
    servers: Servers,
    box: Control,
    policy: str,
    record_property: Callable[[str, object], None],
) -> None:
    await box.settings(duplicate_external_id=policy)
    of_one = await asyncio.gather(*(servers.log_in("ada") for _ in range(OF_ONE)))
    assert len(set(of_one)) == 1

    subjects = [f"person-{number % IDENTITIES}" for number in range(OF_MANY)]
    of_many = await asyncio.gather(*(servers.log_in(one) for one in subjects))
    told = dict(zip(subjects, of_many, strict=True))
    assert [told[subject] for subject in subjects] == of_many

    users = {u["external_app_user_id"]: u["id"] for u in await box.users()}
    expected = {"ada": of_one[0], **told}
    assert users == {external_id("", ISSUER, sub): id_ for sub, id_ in expected.items()}
    assert len(await box.users()) == len(users) == IDENTITIES + 1
    record_property("answers", dict(servers.answers))
    record_property("box_users", len(users))
