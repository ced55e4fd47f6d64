"""What a first login makes or takes at Box, by the policy of its provider.

Through HTTP, before the emulator. Several of these are attempts to come by the Box user
of somebody else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from sso_box_api.accounts import Person, external_id
from sso_box_api.binding import Binder
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support.api import BOX_URL, ISSUER, Api, Control
from tests.support.connections import opened

MANAGED = {"kind": "managed", "email_domains": ["Example.com"]}
LINKING = {**MANAGED, "link_existing": True}
MAIN = {"id": "main", "issuer": ISSUER, "client_ids": ["demo-spa"]}
EMAIL = "ada@example.com"
ADA = Person("main", ISSUER, "ada", "Ada Lovelace", EMAIL, email_trusted=True)
NOW = 1_900_000_000


@dataclass
class Login:
    """A service with one policy, and the people who come to it."""

    api: Api
    database_url: str

    async def __call__(
        self, email: str | None = EMAIL, subject: str = "ada", **claims: Any
    ) -> httpx.Response:
        verified = {"email_verified": True, "name": "Ada Lovelace", **claims}
        token = self.api.id_token(subject, email=email, **verified)
        return await self.api.exchange(token)

    async def refused(self, *args: Any, **claims: Any) -> str:
        """The code of a refusal; the status has to be 403."""
        answer = await self(*args, **claims)
        assert answer.status_code == 403, answer.text
        return str(answer.json()["code"])

    async def bound(self, *args: Any, **claims: Any) -> str:
        """The Box user that is handed out."""
        answer = await self(*args, **claims)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["box_user_id"])

    async def sql(self, statement: str) -> list[Any]:
        return await _sql(self.database_url, statement)


async def _sql(database_url: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(statement)
    await connection.close()
    return [tuple(row) for row in rows]


@pytest.fixture
async def service(
    settings_values: dict[str, Any], emulator: Starlette, idp_app: Starlette
) -> AsyncIterator[Callable[..., Any]]:
    """Start a service whose one provider has these rules for Box users."""
    async with AsyncExitStack() as stack:

        async def start(**rules: Any) -> Login:
            trust = rules.get("kind") == "managed"
            provider = MAIN | {"trust_email": trust, "box_user": rules}
            values = settings_values | {"providers": [provider]}
            api = Api.start(Settings.model_validate(values), emulator, idp_app)
            return Login(await stack.enter_async_context(api), values["database_url"])

        yield start


# --- managed users: whose address may be a login ------------------------------------------


async def test_a_managed_user_is_made_with_the_trusted_address_as_login(
    service: Any, box: Control, enterprise: Enterprise
) -> None:
    login = await service(**MANAGED)
    made = await login.bound("Ada+x@EXAMPLE.com")
    [user] = enterprise.users.values()
    assert (user.id, user.login, user.name) == (
        made,
        "ada+x@example.com",
        "Ada Lovelace",
    )
    assert (user.is_app_user, user.external_app_user_id) == (False, None)
    assert await login.sql("SELECT kind FROM account") == [("managed",)]
    await box.requests()
    # Bound is bound: another address, not trusted at that, changes nothing.
    again = await login.bound("grace@evil.example", email_verified=False)
    assert again == made
    assert "POST /2.0/users" not in await box.requests()


NOT_ALLOWED = [
    "ada@evil-example.com",
    "ada@sub.example.com",
    "ada@example.com.",
    "ada@example.com.evil.example",
    "ada@examplexcom",
    "ada@example",
    "ada@evil.example@example.com",
    "ada@example.com@evil.example",
    '"ada@evil.example"@example.com',
    "<ada@example.com>",
    "ada,eve@example.com",
    ".ada@example.com",
    "a..da@example.com",
    "@example.com",
    "a" * 65 + "@example.com",
    "ada@ex\u0430mple.com",  # a Cyrillic letter
    "ada@\uff45xample.com",  # a full-width one, which NFKC would make plain
    "\u212aim@example.com",  # the Kelvin sign, whose small letter is k
    "stra\u00dfe@example.com",  # casefolded it is another person's address
    "ada\u200b@example.com",
    "ada@example.com\u0000",
    "ada@example.com\n",
]


async def test_an_address_outside_of_the_listed_domains_claims_and_asks_nothing(
    service: Any, box: Control, enterprise: Enterprise
) -> None:
    for known in (EMAIL, "kim@example.com", "strasse@example.com"):
        enterprise.add_user("There already", known)
    login = await service(**LINKING)
    await box.requests()
    codes = {email: await login.refused(email) for email in NOT_ALLOWED}
    assert codes == dict.fromkeys(NOT_ALLOWED, "email_not_allowed")
    assert await login.sql("SELECT 1 FROM account") == []
    assert await box.requests() == []


async def test_an_untrusted_address_is_no_way_to_the_user_who_has_it(
    service: Any, box: Control, enterprise: Enterprise
) -> None:
    enterprise.add_user("Ada herself", EMAIL)
    login = await service(**LINKING)
    await box.requests()
    for verified in (False, None, "yes"):
        code = await login.refused(subject="mallory", email_verified=verified)
        assert code == "email_not_allowed"
    assert await login.refused(None, "mallory") == "email_not_allowed"
    assert await login.sql("SELECT 1 FROM identity") == []
    assert await box.requests() == []


# --- managed users: who may be linked -----------------------------------------------------


async def test_a_user_of_that_login_is_bound_where_the_policy_links(
    service: Any, box: Control, enterprise: Enterprise
) -> None:
    ada = enterprise.add_user("Ada since long", "Ada@Example.com")
    login = await service(**LINKING)
    assert await login.bound() == ada.id
    assert "POST /2.0/users" not in await box.requests()
    assert ada.name == "Ada since long"
    assert await login.sql("SELECT kind FROM account") == [("managed",)]


async def test_a_user_of_that_login_is_not_bound_where_it_does_not(
    service: Any, box: Control, enterprise: Enterprise
) -> None:
    enterprise.add_user("Ada since long", EMAIL)
    login = await service(**MANAGED)
    assert await login.refused() == "box_login_taken"
    assert "POST /2.0/users" not in await box.requests()
    row = "SELECT kind, box_user_id FROM account"
    assert await login.sql(row) == [("managed", None)]


async def test_a_login_that_only_begins_alike_is_somebody_else(
    service: Any, enterprise: Enterprise
) -> None:
    others = [
        enterprise.add_user(EMAIL, "ada@example.company"),
        enterprise.add_user(EMAIL, None),
    ]
    login = await service(**LINKING)
    assert await login.bound() not in {user.id for user in others}
    # To the emulator this one is taken, by a login that Unicode folds to the same.
    enterprise.add_user("Kelvin", "\u212aim@example.com")
    assert await login.refused("kim@example.com", "kim") == "box_login_taken"


async def test_an_app_user_with_that_login_is_not_taken(
    service: Any, box: Control, enterprise: Enterprise
) -> None:
    enterprise.add_user("app user", None).login = EMAIL
    login = await service(**LINKING)
    assert await login.refused() == "box_login_taken"
    assert "POST /2.0/users" not in await box.requests()


async def test_an_administrator_of_the_enterprise_is_not_linked(
    service: Any, enterprise: Enterprise
) -> None:
    """Nor by an administrator's command: what such a user may do has no limit here."""
    ada = enterprise.add_user("Boss", EMAIL)
    ada.attributes["role"] = "coadmin"
    login = await service(**LINKING)
    assert await login.refused() == "box_login_taken"
    ada.attributes["role"] = "user"
    assert await login.bound() == ada.id


async def test_a_user_who_is_not_active_is_not_linked(
    service: Any, enterprise: Enterprise
) -> None:
    ada = enterprise.add_user("Ada", EMAIL)
    login = await service(**LINKING)
    for status in ("inactive", "cannot_delete_edit"):
        ada.status = status
        assert await login.refused() == "box_login_taken"
    assert await login.sql("SELECT box_user_id FROM account") == [(None,)]
    ada.status = "active"
    assert await login.bound() == ada.id


async def test_a_user_of_another_account_is_not_bound_twice(
    service: Any, enterprise: Enterprise
) -> None:
    """The address went to somebody else, whose subject is another one."""
    login = await service(**LINKING)
    first = await login.bound()
    assert await login.refused(subject="her-successor") == "box_login_taken"
    assert list(enterprise.users) == [first]


async def test_a_login_outside_of_the_enterprise_is_refused_and_leaves_nothing(
    service: Any, box: Control, enterprise: Enterprise
) -> None:
    await box.settings(logins_elsewhere=[EMAIL])
    login = await service(**LINKING)
    assert await login.refused() == "box_login_taken"
    assert not enterprise.users
    row = "SELECT box_user_id, create_sent_at, claim_until FROM account"
    assert await login.sql(row) == [(None, None, None)]


@pytest.mark.parametrize("links", [True, False])
async def test_a_user_made_between_our_look_and_our_post_is_as_any_other(
    service: Any, box: Control, enterprise: Enterprise, *, links: bool
) -> None:
    await box.settings(lookup_lag_s=0.2)
    await box.fault("POST", "/2.0/users", delay_ms=250)
    login = await service(**MANAGED, link_existing=links)
    ada = enterprise.add_user("made by an administrator just now", EMAIL)
    answer = await login()
    assert answer.json().get("code") == (None if links else "box_login_taken")
    assert list(enterprise.users) == [ada.id]
    # Not ours at the next login either: Box said that our POST made nobody.
    assert (await login()).status_code == (200 if links else 403)


# --- managed users: one for each person ---------------------------------------------------


@asynccontextmanager
async def _process(
    values: dict[str, Any], emulator: Starlette, **times: float
) -> AsyncIterator[Binder]:
    """The first logins of another process, which shares nothing but the database."""
    provider = MAIN | {"trust_email": True, "box_user": MANAGED}
    values = values | {"providers": [provider], "claim": values["claim"] | times}
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    async with opened(Settings.model_validate(values), mounts=mounts) as parts:
        binder = parts.binder()
        yield binder
        await binder.close()


async def test_many_logins_in_two_processes_make_one_managed_user(
    settings_values: dict[str, Any],
    emulator: Starlette,
    box: Control,
    enterprise: Enterprise,
) -> None:
    await box.settings(lookup_lag_s=0.2, latency_ms=20)
    async with (
        _process(settings_values, emulator) as one,
        _process(settings_values, emulator) as other,
    ):
        logins = [binder.bind(ADA, NOW) for binder in (one, other) for _ in range(5)]
        bound = {account.box_user_id for account in await asyncio.gather(*logins)}
    assert bound == set(enterprise.users)
    assert len(bound) == 1


async def test_who_was_overtaken_gets_the_user_that_is_in_its_way(
    settings_values: dict[str, Any],
    emulator: Starlette,
    box: Control,
    enterprise: Enterprise,
    database_url: str,
) -> None:
    """The login is taken by then: by the same person's user, made by who took over."""
    await box.fault("POST", "/2.0/users", delay_ms=60_000)
    long = {"post_timeout_s": 30.0, "lease_s": 31.0, "flight_deadline_s": 60.0}
    short = {"post_timeout_s": 0.1, "lookup_settle_s": 0.1}
    async with (
        _process(settings_values, emulator, **long) as one,
        _process(settings_values, emulator, **short) as other,
    ):
        slow = asyncio.create_task(one.bind(ADA, NOW))
        sent = "UPDATE account SET claim_until = now() WHERE create_sent_at IS NOT NULL"
        for _ in range(500):
            if await _sql(database_url, f"{sent} RETURNING 1"):
                break
            await asyncio.sleep(0.01)
        fast = await other.bind(ADA, NOW)
        await box.clear_faults()
        assert (await slow).box_user_id == fast.box_user_id
    assert list(enterprise.users) == [fast.box_user_id]


# --- managed users: a POST whose outcome is not known -------------------------------------


@pytest.mark.parametrize("clock_offset_s", [0, 600])
async def test_our_own_user_of_a_lost_answer_is_bound_without_linking(
    service: Any, box: Control, enterprise: Enterprise, clock_offset_s: int
) -> None:
    await box.settings(lookup_lag_s=0.1, clock_offset_s=clock_offset_s)
    await box.fault("POST", "/2.0/users", after_commit=True, status=503)
    login = await service(**MANAGED)
    made = await login.bound()
    assert list(enterprise.users) == [made]
    assert (await box.requests()).count("POST /2.0/users") == 1


@pytest.mark.parametrize("age_s", [3600, 0, 7200])
async def test_after_a_crash_only_the_user_of_that_very_post_is_ours(
    service: Any, box: Control, enterprise: Enterprise, age_s: int
) -> None:
    """An hour ago a POST left and its process died. Who is there now came when?"""
    await box.settings(logins_elsewhere=[EMAIL])
    login = await service(**MANAGED)
    await login.refused()
    await login.sql("UPDATE account SET create_sent_at = now() - interval '1 hour'")
    ada = enterprise.add_user("Ada", EMAIL)
    ada.created_at -= age_s
    answer = await login()
    expected = (200, None) if age_s == 3600 else (403, "box_login_taken")
    assert (answer.status_code, answer.json().get("code")) == expected


# --- no creation --------------------------------------------------------------------------


async def test_without_creation_a_login_adopts_what_is_there_and_makes_nobody(
    service: Any, box: Control, enterprise: Enterprise
) -> None:
    login = await service(create=False)
    assert await login.refused() == "no_box_user"
    assert "POST /2.0/users" not in await box.requests()
    ada = enterprise.add_user("imported", None)
    ada.external_app_user_id = external_id("", ISSUER, "ada")
    assert await login.bound() == ada.id
    assert await login.sql("SELECT kind FROM account") == [("app",)]


async def test_without_creation_managed_users_are_linked_and_never_made(
    service: Any, box: Control, enterprise: Enterprise
) -> None:
    login = await service(**LINKING, create=False)
    assert await login.refused() == "no_box_user"
    assert "POST /2.0/users" not in await box.requests()
    ada = enterprise.add_user("Ada", EMAIL)
    assert await login.bound() == ada.id


# --- attributes ---------------------------------------------------------------------------

ATTRIBUTES = {
    "name": {"claim": "shown_as"},
    "space_amount": {"claim": "quota", "default": 5},
    "language": {"claim": "locale", "default": "en"},
    "timezone": "Europe/Berlin",
    "job_title": {"claim": "https://claims.example/title"},
    "is_external_collab_restricted": {"claim": "intern", "default": True},
}
FLAG = "\U0001f1e9\U0001f1ea"


@pytest.mark.parametrize("kind", [{}, MANAGED])
async def test_attributes_come_from_claims_and_constants(
    service: Any, enterprise: Enterprise, kind: dict[str, Any]
) -> None:
    login = await service(**kind, **ATTRIBUTES)
    claims = {
        "shown_as": "x" * 49 + FLAG,
        "quota": "123",
        "locale": "de-AT",
        "https://claims.example/title": "Engineer " * 12 + "!",
        "intern": "False",
    }
    user = enterprise.users[await login.bound(**claims)]
    assert (user.name, user.space_amount) == ("x" * 49, 123)
    assert user.attributes == {
        "language": "de",
        "timezone": "Europe/Berlin",
        "job_title": ("Engineer " * 12)[:100].strip(),
        "is_external_collab_restricted": False,
    }


async def test_a_claim_of_no_use_is_as_none(
    service: Any, enterprise: Enterprise
) -> None:
    login = await service(**ATTRIBUTES)
    claims = {"shown_as": "\u200b", "quota": "-2", "locale": "x", "intern": "perhaps"}
    user = enterprise.users[await login.bound(**claims)]
    assert (user.name, user.space_amount) == ("Ada Lovelace", 5)
    assert user.attributes == {
        "language": "en",
        "timezone": "Europe/Berlin",
        "is_external_collab_restricted": True,
    }


async def test_each_provider_decides_for_its_own_people_alone(
    settings_values: dict[str, Any], emulator: Starlette, enterprise: Enterprise
) -> None:
    staff = MAIN | {"trust_email": True, "box_user": {**LINKING, "language": "de"}}
    guests: dict[str, Any] = MAIN | {"id": "guests", "issuer": "https://x.example"}
    enterprise.add_user("Ada of the staff", EMAIL)
    values = settings_values | {"providers": [staff, guests]}
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    settings = Settings.model_validate(values)
    async with opened(settings, mounts=mounts) as parts:
        binder = parts.binder()
        person = Person(
            "guests", guests["issuer"], "ada", email=EMAIL, email_trusted=True
        )
        account = await binder.bind(person, NOW)
        await binder.close()
    assert account.kind == "app"
    user = enterprise.users[str(account.box_user_id)]
    assert (user.is_app_user, user.attributes) == (True, {})
