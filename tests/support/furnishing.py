"""A first day as the tests of provisioning have it, and what came of it at Box."""

import asyncio
import hashlib
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text
from starlette.applications import Starlette

from sso_box_api import accounts
from sso_box_api.accounts import Account, Person
from sso_box_api.parts import Parts
from sso_box_api.provisioning import Provisioner
from sso_box_api.settings import Settings
from sso_box_devkit.box import Enterprise
from tests.support import connections
from tests.support.api import BOX_URL, ISSUER

HOUR = 3600.0
NOW = int(time.time())
WELCOME = b"Welcome to your folder."
TEMPLATE = """
[[folders]]
path = "{{name}}/Statements"

[[folders]]
path = "{{claim:department|General}}"

[[files]]
source = "welcome.txt"
path = "{{name}}/Welcome.txt"

[[collaborations]]
folder = "{shared}"
role = "viewer"

[[groups]]
claim = "groups"
[groups.members]
sales = "Sales"
devs = "Developers"

[quota]
claim = "plan"
bytes = {{ gold = 5000000000 }}
"""
# What the template comes to for ADA.
CLAIMS: dict[str, Any] = {"groups": ("sales",), "plan": "gold"}


def edit(template: Path, former: str, new: str) -> None:
    declared = template.read_text()
    assert former in declared
    template.write_text(declared.replace(former, new))


def ada(subject: str = "ada", **changes: Any) -> Person:
    values = {"name": "Ada L", "email": "ada@example.com", "claims": CLAIMS}
    return Person("main", ISSUER, subject, **{**values, **changes})


async def bind(parts: Parts, person: Person) -> Account:
    binder = parts.binder()
    account = await binder.bind(person, NOW)
    await binder.close()
    return account


async def find(parts: Parts, person: Person) -> Account:
    async with parts.database.transaction() as session:
        account = await accounts.find(session, person.namespace, person.subject)
    assert account is not None
    return account


async def first_day(parts: Parts, person: Person) -> Account:
    """What a first login does beside the token, to its end."""
    account = await bind(parts, person)
    await login(parts, person)
    return account


async def plan_only(parts: Parts, person: Person) -> Account:
    """What is left of a first login whose process ended right after it."""
    account = await bind(parts, person)
    provisioner = parts.provisioner()
    provisioner._closing = True
    await provisioner.begin(account, person, NOW)
    await provisioner.close()
    return account


async def login(parts: Parts, person: Person, issued_at: int = NOW) -> None:
    """What any login does beside the token."""
    provisioner = parts.provisioner()
    await provisioner.begin(await find(parts, person), person, issued_at)
    # Unlike close, which stops after the step that is under way.
    await asyncio.gather(*provisioner._flights)


async def sql(parts: Parts, statement: str, **values: Any) -> list[Any]:
    async with parts.database.transaction() as session:
        result = await (await session.connection()).execute(text(statement), values)
        return [tuple(row) for row in result.all()] if result.returns_rows else []


async def step_states(parts: Parts) -> dict[str, str]:
    return dict(await sql(parts, "SELECT key, state FROM furnishing_step"))


async def time_passes(parts: Parts) -> None:
    """Leases of dead processes end, and so do all pauses."""
    await sql(parts, "UPDATE furnishing_step SET due_at = clock_timestamp()")
    await sql(
        parts,
        "UPDATE furnishing SET lease_until = NULL, due_at = clock_timestamp()"
        " WHERE due_at IS NOT NULL OR lease_until IS NOT NULL",
    )


async def finish(provisioner: Provisioner) -> None:
    while await provisioner.work():
        pass


def at_box(enterprise: Enterprise, user_id: str | None) -> dict[str, Any]:
    """Everything at Box that belongs to one user, without ids."""
    assert user_id is not None
    tree, sharing = enterprise.tree, enterprise.sharing
    names = {}
    for item in tree.below(tree.root(user_id)):
        path = "/".join([above.name for above in tree.ancestors(item)] + [item.name])
        names[path] = item.version.sha1 if item.type == "file" else None
    return {
        "items": names,
        "roles": [
            c.role for c in sharing.collaborations.values() if c.user_id == user_id
        ],
        "groups": sorted(
            m.group.name for m in sharing.memberships.values() if m.user_id == user_id
        ),
        "space": enterprise.users[user_id].space_amount,
        "name": enterprise.users[user_id].name,
    }


FURNISHED: dict[str, Any] = {
    "items": {
        "All Files": None,
        "All Files/Ada L": None,
        "All Files/Ada L/Statements": None,
        "All Files/Ada L/Welcome.txt": hashlib.sha1(
            WELCOME, usedforsecurity=False
        ).hexdigest(),
        "All Files/General": None,
    },
    "roles": ["viewer"],
    "groups": ["Sales"],
    "space": 5_000_000_000,
    "name": "Ada L",
}


def opened(
    settings: Settings, emulator: Starlette
) -> AbstractAsyncContextManager[Parts]:
    """Another process, whose work is done when a test says so."""
    mounts = {BOX_URL: httpx.ASGITransport(emulator)}
    return connections.opened(settings, mounts=mounts)
