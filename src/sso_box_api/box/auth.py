"""Tokens of Box: the service's own, a user's, a narrowed one, and their end.

A signed assertion is good for one attempt: Box remembers its ``jti`` even when it
answers 429, so each attempt signs a new one. Sources: developer.box.com "JWT without
SDKs", "Downscope a token", "Revoke token"; RFC 8693 section 2.1.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlencode

import httpx
from cachetools import LRUCache

from sso_box_api.box.answers import Answer
from sso_box_api.box.assertion import Grants, Subject
from sso_box_api.box.budget import CallKind, Lane
from sso_box_api.box.credentials import BoxCredentials
from sso_box_api.box.deadline import Rank, ranked
from sso_box_api.box.failures import (
    Refusal,
    RefusedByBox,
    SubjectTokenRejected,
    Trouble,
)
from sso_box_api.box.tokens import (
    BoxToken,
    Downscoped,
    KeptToken,
    read_grants,
    read_token,
)
from sso_box_api.box.transport import Caller, CountCall, State
from sso_box_api.errors import BoxRefused
from sso_box_api.settings import BoxSettings

# A name at Box, not an address: the same whatever SSO_BOX_BOX__API_URL says.
RESOURCE_ROOT = "https://api.box.com/2.0"

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name

MAX_USERS = 1_000  # whose tokens are kept for calls in their name
_FORM = {"content-type": "application/x-www-form-urlencoded"}


class Auth:
    """The token endpoint, and API calls in the service's own name."""

    def __init__(
        self,
        credentials: BoxCredentials,
        settings: BoxSettings,
        transport: httpx.AsyncBaseTransport,
        *,
        clock: Callable[[], float] = time.time,
        count_call: CountCall | None = None,
    ) -> None:
        self._credentials = credentials
        self._settings = settings
        self._clock = clock
        self._caller = Caller(settings, transport, count_call)
        self._grants = Grants(credentials, settings.jwt_algorithm, clock)
        self._service = self._kept(self._mint_service, credentials.enterprise_id)
        self._users: LRUCache[str, KeptToken] = LRUCache(MAX_USERS)

    def state(self) -> State:
        """How the latest call went."""
        return self._caller.state

    def pauses(self) -> Mapping[CallKind, bool]:
        """Of which kinds no calls are sent now, because too many failed in a row."""
        return self._caller.pauses()

    @property
    def clock_offset_s(self) -> float:
        """How far Box's clock is ahead of ours, as far as Box made us notice."""
        return self._grants.offset_s

    async def service_token(self) -> BoxToken:
        """Return the service account's token, from memory while it lives.

        Raises ``BoxUnavailable``, ``BoxRefused``.
        """
        return await self._service.get()

    async def user_token(self, box_user_id: str) -> BoxToken:
        """Mint a token with all rights of one user; callers at one time share it.

        Not from memory: a user whom Box has switched off since gets none.
        Raises ``BoxUnavailable``, ``BoxRefused`` (also for a user who is gone).
        """
        return await self._user(box_user_id).fresh()

    def expect_user_token(self, box_user_id: str) -> None:
        """Begin with what ``user_token`` will be asked for next."""
        with ranked(Rank.FIRST_LOGIN):
            self._user(box_user_id).expect()

    async def downscope(
        self, subject_token: BoxToken, scopes: Sequence[str], resource: str | None
    ) -> Downscoped:
        """Exchange a user's token for one with ``scopes`` only.

        ``resource`` is ``file:ID`` or ``folder:ID``. Raises ``InvalidResource``,
        ``SubjectTokenRejected``, ``BoxUnavailable``, ``BoxRefused``; ``ValueError``
        for an empty or malformed scope, which at Box could mean every scope.
        """
        if not scopes or not all(re.fullmatch(r"[\x21-\x7e]+", s) for s in scopes):
            raise ValueError("scopes")
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": subject_token.access_token,
            "subject_token_type": ACCESS_TOKEN,
            "scope": " ".join(scopes),
        }
        if resource is not None:
            form["resource"] = _resource_url(resource)
        try:
            token, answer = await self._token(lambda: form, subject_token.subject)
        except RefusedByBox as refused:
            # The one token in this call is the subject's, so it is the one refused.
            if refused.box_code == "invalid_token":
                raise SubjectTokenRejected(Trouble(refused.reason)) from None
            raise
        granted = read_grants(answer.get("restricted_to"))
        return Downscoped(
            token.access_token, token.expires_at, token.expires_in, granted
        )

    async def revoke(self, token: str) -> None:
        """End a token at Box; one that is dead already counts as done.

        Raises ``BoxUnavailable``, ``BoxRefused``: then the token may still live.
        """
        form = {**self._grants.client(), "token": token}
        try:
            prepare = self._post("/oauth2/revoke", lambda: form)
            await self._caller.call(Lane("token", "revoke"), prepare, nothing)
            # An empty 200 is all that Box documents, so a proxy's passes for it.
        except RefusedByBox:
            # Box does not say how it refuses a dead token, so the token is tried.
            if await self.is_live(token):
                raise

    async def is_live(self, token: str) -> bool:
        """Ask Box whether it still takes a token, whatever the token may do.

        Raises ``BoxUnavailable``.
        """

        async def prepare() -> httpx.Request:
            headers = {"authorization": f"Bearer {token}"}
            return self._request("GET", "/2.0/users/me?fields=id", headers)

        try:
            await self._caller.call(Lane("api", "probe"), prepare, Answer.json)
        except RefusedByBox as refused:
            return not refuses_the_token(refused.box_status, refused.box_code)
        return True

    def _kept(self, mint: Callable[[], Awaitable[BoxToken]], subject: str) -> KeptToken:
        return KeptToken(
            mint,
            clock=self._clock,
            deadline_s=self._settings.deadline_s,
            held_s=partial(self._caller.held_s, Lane("token", subject)),
        )

    def _user(self, box_user_id: str) -> KeptToken:
        if box_user_id not in self._users:
            mint = partial(self._mint, "user", box_user_id)
            self._users[box_user_id] = self._kept(mint, box_user_id)
        return self._users[box_user_id]

    async def _mint_service(self) -> BoxToken:
        try:
            # Whoever comes waits for it, so it goes before them all.
            with ranked(Rank.FIRST_LOGIN):
                return await self._mint("enterprise", self._credentials.enterprise_id)
        except BoxRefused:
            self._caller.state = "failing"  # Box answers, but nothing can be done there
            raise

    async def _mint(self, kind: Subject, subject_id: str) -> BoxToken:
        form = partial(self._grants.form, kind, subject_id)
        token, _ = await self._token(form, subject_id)
        return token

    async def _token(
        self, form: Callable[[], Mapping[str, str]], subject: str
    ) -> tuple[BoxToken, dict[str, Any]]:
        asked_at = 0.0

        def fresh_form() -> Mapping[str, str]:
            # Life counts from the asking, so that it never looks longer than it is.
            nonlocal asked_at
            asked_at = self._clock()
            return form()

        def parse(answer: Answer) -> tuple[BoxToken, dict[str, Any]]:
            data = answer.json()
            return read_token(data, asked_at, subject), data

        former_s, learnt = self._grants.offset_s, False

        def recover(refusal: Refusal) -> bool:
            nonlocal learnt
            learnt = self._grants.learn_clock(refusal)
            return learnt

        prepare = self._post("/oauth2/token", fresh_form)
        try:
            lane = Lane("token", subject)
            return await self._caller.call(lane, prepare, parse, recover)
        except RefusedByBox:
            # A date that did not help was not Box's, and would spoil what comes next.
            if learnt:
                self._grants.offset_s = former_s
            raise

    def _post(
        self, path: str, form: Callable[[], Mapping[str, str]]
    ) -> Callable[[], Any]:
        async def prepare() -> httpx.Request:
            return self._request("POST", path, _FORM, urlencode(form()).encode())

        return prepare

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        host: str | None = None,
    ) -> httpx.Request:
        # Built without the client, so that no cookie of one call goes with the next, and
        # with a stream made here: the transport says the host and the length anyway, and
        # for httpx to do so too costs more than all the rest of a request.
        request = httpx.Request(
            method,
            _url((host or self._settings.api_url) + path),
            headers={
                "accept": "application/json",
                "accept-encoding": "identity",
                "user-agent": "sso-box-api",
                **headers,
            },
            stream=httpx.ByteStream(content or b""),
        )
        request.read()
        return request


@lru_cache(maxsize=256)
def _url(url: str) -> httpx.URL:
    # Most calls go to one of a few addresses, and taking one apart costs a tenth of
    # a call.
    return httpx.URL(url)


def refuses_the_token(status: int, code: str) -> bool:
    """Whether a refusal says that a token is dead, rather than that it may too little.

    For the latter RFC 6750 section 3.1 has 403; a 401 that says so means it all the same.
    """
    return status == httpx.codes.UNAUTHORIZED and code != "insufficient_scope"


def nothing(answer: Answer) -> None:
    """Accept an empty body or JSON: a page of a proxy is no word of Box's."""
    if answer.body:
        answer.json()


def _resource_url(resource: str) -> str:
    found = re.fullmatch(r"(file|folder):([1-9][0-9]{0,19})", resource)
    if found is None:
        raise ValueError("resource")
    return f"{RESOURCE_ROOT}/{found[1]}s/{found[2]}"
