"""What people do at the service, each act over and over again, until the time is up."""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sso_box_devkit.box import Enterprise
from sso_box_devkit.idp.provider import Idp
from sso_box_devkit.postgres import Postgres
from tests.support.commands import Server, run
from tests.support.people import Caller, Judge, Person

SECONDS = 60.0
WARM, VICTIMS, COMERS_AND_GOERS = 24, 12, 8
# Of those who are warm, some keep the tokens that all workers have seen.
CONSTANT = WARM // 2
# So few that each asks for everything before and after its renewal.
FEW = 4
ORDERS: list[dict[str, Any]] = [
    {"profile": "explorer"},
    {"profile": "preview"},
    {"profile": "picker"},
    {"profile": "short"},
    {"profile": "explorer", "scope": ["item_preview"]},
]


@dataclass
class Stage:
    """Everything that the load runs on, and that the faults happen to."""

    servers: list[Server]
    env: dict[str, str] = field(repr=False)
    folder: Path
    postgres: Postgres
    enterprise: Enterprise
    idps: list[Idp]
    caller: Caller
    box_url: str
    ends: float = 0.0
    warm: list[Person] = field(default_factory=list)
    everybody: list[Person] = field(default_factory=list)

    @property
    def judge(self) -> Judge:
        return self.caller.judge

    def person(self, name: str, idp: Idp | None = None) -> Person:
        person = Person(name, idp or random.choice(self.idps))
        person.log_in()
        self.everybody.append(person)
        return person


Act = Callable[[Stage], Coroutine[Any, Any, object]]


async def ask_warm(stage: Stage) -> None:
    """What each worker has answered before."""
    person = random.choice(stage.warm[:CONSTANT])
    await stage.caller.exchange("warm", person, person.id_token, ORDERS[0])


async def ask_otherwise(stage: Stage) -> None:
    """Other profiles, scopes and resources, some of them out of reach."""
    person = random.choice(stage.warm[:FEW])
    folder = {"profile": "preview", "resource": f"folder:{person.folder}"}
    order = random.choice([*ORDERS, folder, folder])
    await stage.caller.exchange("other order", person, person.id_token, order)


async def ask_for_the_folder_of_another(stage: Stage) -> None:
    person, other = random.sample(stage.warm, 2)
    order = {"profile": "preview", "resource": f"folder:{other.folder}"}
    await stage.caller.exchange("not theirs", None, person.id_token, order)


async def ask_with_a_new_token(stage: Stage) -> None:
    person = random.choice(stage.warm[CONSTANT:])
    await stage.caller.exchange("never seen", person, person.log_in(), ORDERS[0])


async def log_in_first(stage: Stage) -> None:
    person = stage.person(f"new-{secrets.token_hex(6)}")
    await stage.caller.exchange("first login", person, person.id_token, ORDERS[0])


async def ask_with_a_bad_token(stage: Stage) -> None:
    person = random.choice(stage.warm)
    idp, now = person.idp, int(time.time())
    head, claims, signature = person.id_token.split(".")
    token = random.choice(
        [
            f"{head}.{claims}.{signature[::-1]}",
            idp.mint(sub=person.subject, aud="another-app"),
            idp.mint(sub=person.subject, aud="demo-spa", exp=now - 600, iat=now - 900),
            # Nobody's, for people who are known have a fetch of keys to themselves.
            idp.mint(sub="nobody", aud="demo-spa", header={"kid": "unknown"}),
        ]
    )
    await stage.caller.exchange("bad token", None, token)


async def come_and_go(stage: Stage, number: int) -> None:
    """Log in, ask for a while, sign out, and try once more with the old login."""
    person = stage.person(f"guest-{number}")
    while time.monotonic() < stage.ends:
        for order in ORDERS[:2] * 2:
            await stage.caller.exchange("guest", person, person.id_token, order)
            await asyncio.sleep(0.2)
        if not await stage.caller.sign_out(person):
            await asyncio.sleep(0.5)
            continue
        for _ in range(3):
            await asyncio.sleep(0.5)
            await stage.caller.exchange("signed out", person, person.id_token)
        # What it had is to be dead in the end; from now on it is somebody new.
        stage.everybody.append(Person(person.subject, person.idp, is_locked=True))
        stage.everybody[-1].handed_out |= person.handed_out
        person.handed_out.clear()
        person.ended = float("inf")
        person.log_in()


async def be_locked(stage: Stage, number: int) -> None:
    """Ask all the time, be locked at some moment, and go on asking."""
    person = stage.person(f"victim-{number}")
    locking = asyncio.create_task(_lock(stage, person, number))
    while time.monotonic() < stage.ends:
        act = "locked" if person.is_locked else "to be locked"
        order = random.choice(ORDERS[:2])
        await stage.caller.exchange(act, person, person.id_token, order)
        await asyncio.sleep(0.1)
    await locking


async def _lock(stage: Stage, person: Person, number: int) -> None:
    await asyncio.sleep(3 + number * (SECONDS - 12) / VICTIMS)
    arguments = ["account", "lock", person.idp.issuer, person.subject, "--json"]
    while not person.is_locked:
        log = stage.folder / f"lock-{secrets.token_hex(4)}.log"
        ended = await run(arguments, stage.env, log)
        stage.judge.counts[f"account lock: exit {ended.code}"] += 1
        # Without a database it fails, and says so.
        if ended.code in {0, 3}:
            person.ended, person.is_locked = ended.at, True
        else:
            await asyncio.sleep(0.5)


ACTS: dict[Act, tuple[int, float]] = {
    # How many do it at a time, and how long each pauses.
    ask_warm: (6, 0.03),
    ask_otherwise: (3, 0.1),
    ask_for_the_folder_of_another: (1, 0.3),
    ask_with_a_new_token: (2, 0.1),
    log_in_first: (2, 0.3),
    ask_with_a_bad_token: (2, 0.1),
}
