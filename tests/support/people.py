"""People who log in at a service under load, and a judge of every answer they get.

The judge looks each handed-out token up in the emulator itself: whose it is, what it
may do, and whether anything was handed out that a lock or a sign-out had ended.
"""

import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx

from sso_box_api.accounts import external_id
from sso_box_devkit.box.state import World
from sso_box_devkit.idp.provider import Idp

# A second after a lock or a sign-out has returned, nobody may be served any more.
AT_ONCE_S = 1.0
PROFILES: dict[str, dict[str, Any]] = {
    "explorer": {"scopes": ["base_explorer", "item_preview", "item_upload"]},
    "preview": {"scopes": ["base_preview"]},
    "picker": {"scopes": ["base_picker"], "resource": "none"},
    # Old enough to be renewed after half a minute.
    "short": {"scopes": ["item_preview"], "max_life_s": 60},
}


Order = Mapping[str, Any]


@dataclass
class Person:
    """``ended``: when a lock or the last sign-out returned, by ``time.monotonic``."""

    subject: str
    idp: Idp
    id_token: str = field(default="", repr=False)
    folder: str = ""
    is_locked: bool = False
    ended: float = float("inf")
    handed_out: set[str] = field(default_factory=set, repr=False)

    def log_in(self) -> str:
        """A token that nobody has seen, the person's own from now on."""
        self.id_token = self.idp.mint(
            sub=self.subject, aud="demo-spa", jti=secrets.token_hex(8)
        )
        return self.id_token


@dataclass
class Judge:
    """Counts each answer by what was done and what came; ``wrong`` is what is not right.

    ``refused``: what was done and when its answer came, of each 503.
    """

    world: World
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    refused: list[tuple[str, float]] = field(default_factory=list)
    _short: dict[str, set[str]] = field(
        default_factory=lambda: defaultdict(set), repr=False
    )

    @property
    def renewed(self) -> int:
        """How often a token with a short life was followed by another."""
        return sum(len(tokens) - 1 for tokens in self._short.values())

    def answered(
        self,
        act: str,
        answer: httpx.Response,
        started: float,
        person: Person | None = None,
        order: Order | None = None,
    ) -> None:
        """Judge one answer; ``person`` is None where nobody may be let in."""
        body = answer.json() if answer.content else {}
        code = body.get("code", "")
        self.counts[f"{act} {answer.status_code} {code}".strip()] += 1
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            self.refused.append((act, time.monotonic()))
        problem = self._problem(answer, body, started, person, order or {})
        if problem:
            self.wrong.append(f"{act}: {problem}")

    def _problem(
        self,
        answer: httpx.Response,
        body: dict[str, Any],
        started: float,
        person: Person | None,
        order: Order,
    ) -> str:
        status = answer.status_code
        if status == httpx.codes.SERVICE_UNAVAILABLE:
            return "" if "retry-after" in answer.headers else "503 without Retry-After"
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return f"{status} {body.get('code')}"
        if status != httpx.codes.OK:
            return ""
        if person is None:
            return "let in who must not be"
        person.handed_out.add(body["access_token"])
        if order.get("profile") == "short":
            self._short[person.subject].add(body["access_token"])
        if started > person.ended + AT_ONCE_S:
            late = started - person.ended
            return f"served {late:.2f} s after a lock or sign-out"
        return self._problem_of_token(body, person, order)

    def _problem_of_token(
        self, body: dict[str, Any], person: Person, order: Order
    ) -> str:
        token = self.world.tokens.get(body["access_token"])
        if token is None:
            return "a token that Box never minted"
        user = token.enterprise.users[token.user_id]
        if user.external_app_user_id != external_id(
            "", person.idp.issuer, person.subject
        ):
            return "another person's token"
        if body["box_user_id"] != user.id:
            return "told another Box user than the token's"
        profile = PROFILES[order.get("profile", "explorer")]
        asked = set(order.get("scope", profile["scopes"]))
        if token.scopes is None or set(token.scopes) != asked:
            return "other scopes than were asked for"
        resource = f"folder:{token.resource.id}" if token.resource else None
        if resource != order.get("resource"):
            return "another resource than was asked for"
        return ""


class Caller:
    """Asks one server after the other, as a balancer would."""

    def __init__(self, http: httpx.AsyncClient, urls: list[str], judge: Judge) -> None:
        self._http = http
        self._urls = cycle(urls)
        self.judge = judge

    async def exchange(
        self,
        act: str,
        person: Person | None,
        token: str,
        order: Order | None = None,
    ) -> httpx.Response | None:
        return await self._call("POST", act, person, token, order)

    async def sign_out(self, person: Person) -> bool:
        """Whether it was done. Who asks for tokens meanwhile may get them, or not."""
        started = time.monotonic()
        answer = await self._call("DELETE", "sign-out", person, person.id_token)
        if answer is None or answer.status_code != httpx.codes.NO_CONTENT:
            return False
        person.ended = max(started, time.monotonic())
        return True

    async def _call(
        self,
        method: str,
        act: str,
        person: Person | None,
        token: str,
        order: Order | None = None,
    ) -> httpx.Response | None:
        path = "token" if method == "POST" else "tokens"
        url = f"{next(self._urls)}/v1/{path}"
        headers = {"Authorization": f"Bearer {token}"}
        started = time.monotonic()
        try:
            answer = await self._http.request(method, url, headers=headers, json=order)
        except httpx.TransportError as error:
            self.judge.wrong.append(f"{act}: no answer, {type(error).__name__}")
            return None
        self.judge.answered(act, answer, started, person, order)
        return answer
