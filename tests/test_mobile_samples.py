"""The samples for apps, as far as a machine without their platforms' tools can hold them.

A parser of their language reads them; and what they send is sent, in the words that
stand in them: to the IdP as AppAuth does it, to the service, and to Box.
"""

import base64
import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import httpx
import pytest
import tree_sitter_kotlin
import tree_sitter_swift
from starlette.applications import Starlette
from tree_sitter import Language, Node, Parser

from sso_box_api.parts import Parts
from tests.support.administration import candidate_of
from tests.support.api import ISSUER, Api, Control

PAGE: Final = (Path(__file__).parents[1] / "docs/mobile.md").read_text()
LANGUAGES: Final = {
    "kotlin": Language(tree_sitter_kotlin.language()),
    # Its stub says int, which is deprecated; what comes is a capsule.
    "swift": Language(tree_sitter_swift.language()),  # type: ignore[deprecated]
}
SAMPLES: Final = re.findall(r"(?ms)^```(kotlin|swift)\n(.*?)^```", PAGE)
# The app that the local IdP knows. It has a scheme of its own, like the samples.
CLIENT_ID: Final = "demo-mobile"
REDIRECT_URI: Final = "com.example.sso-box-demo:/callback"
# What the samples read in the answers of the service.
READ_IN_TOKEN: Final = ("access_token", "expires_in", "box_user_id")
READ_IN_REFUSAL: Final = ("reason", "request_id")

both = pytest.mark.parametrize("language", LANGUAGES)


def _broken(node: Node) -> list[int]:
    """The lines, from 1, where the parser found something else than the language."""
    if node.is_error or node.is_missing:
        return [node.start_point.row + 1]
    return [line for child in node.children for line in _broken(child)]


def _parsed(language: str, code: str) -> Node:
    return Parser(LANGUAGES[language]).parse(code.encode()).root_node


@pytest.mark.parametrize(("language", "code"), SAMPLES, ids=lambda text: text[:20])
def test_a_sample_is_of_its_language(language: str, code: str) -> None:
    assert _broken(_parsed(language, code)) == []


@both
def test_both_platforms_have_the_login_the_storage_and_the_tokens(
    language: str,
) -> None:
    assert [each for each, _ in SAMPLES].count(language) >= 3


@both
def test_a_sample_with_a_brace_too_few_is_noticed(language: str) -> None:
    code = next(code for each, code in SAMPLES if each == language and "class" in code)
    assert _broken(_parsed(language, code.rstrip().removesuffix("}")))


@dataclass(frozen=True)
class Sample:
    """What the samples of one language send, read out of their text."""

    text: str

    @classmethod
    def of(cls, language: str) -> "Sample":
        return cls("".join(code for each, code in SAMPLES if each == language))

    @property
    def scope(self) -> str:
        return " ".join(self._words(r"scopes?(?: = \[|\()"))

    @property
    def wants_fresh_token(self) -> set[str]:
        """The refusals after which it sends again, with a new ID token."""
        return set(self._words(r"wants_?fresh_?token(?:: Set = \[| = setOf\()"))

    @property
    def box_path(self) -> str:
        [path] = re.findall(r'"https://api\.box\.com(/2\.0/[^"]+)"', self.text)
        assert isinstance(path, str)
        return path

    def form(self, id_token: str, *, rejected: str = "") -> dict[str, str]:
        """The form of the exchange; what it takes from elsewhere is filled in."""
        values = {
            "idToken": id_token,
            "profile": "explorer",
            **dict.fromkeys(("Login.CLIENT_ID", "Login.clientID"), CLIENT_ID),
            **dict.fromkeys(("sha256", "digest.map"), _sha256(rejected)),
        }
        send = self._found(r"fun\w* send\((.*?)(?:requestMethod|httpMethod)")
        fields = re.findall('"([a-z_0-9]+)"(?: to|:|\\] =) ("[^"]+"|[\\w.]+)', send)
        return {
            name: values.get(term, term.strip('"'))
            for name, term in fields
            if rejected or not name.startswith("rejected")
        }

    def reads(self, member: str) -> bool:
        first, *others = member.split("_")
        camel = first + "".join(word.capitalize() for word in others)
        return re.search(rf'"{member}"|let [^"]*\b{camel}\b', self.text) is not None

    def _words(self, name: str) -> list[str]:
        return re.findall("[a-z_]+", self._found(name + r"([^\])]*)"))

    def _found(self, pattern: str) -> str:
        found = re.search(pattern, self.text, re.IGNORECASE | re.DOTALL)
        assert found is not None, pattern
        return found[1]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _to(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ISSUER)


async def _signed_in(idp_app: Starlette, scope: str) -> dict[str, Any]:
    """Sign Ada in with what AppAuth sends; return the answer to the code."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    request = {
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT_URI,
        "response_type": "code",
        "scope": scope,
        "state": secrets.token_urlsafe(16),
        "nonce": secrets.token_urlsafe(16),
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    async with _to(idp_app) as idp:
        back = await idp.post("/authorize", data={**request, "person": "ada"})
        address, _, query = back.headers["location"].partition("?")
        answer = dict(parse_qsl(query))
        assert (address, answer["state"]) == (REDIRECT_URI, request["state"])
        form = {"grant_type": "authorization_code", "code": answer["code"]}
        form |= {"code_verifier": verifier, "redirect_uri": REDIRECT_URI}
        tokens = await idp.post("/token", data={**form, "client_id": CLIENT_ID})
    received: dict[str, Any] = tokens.raise_for_status().json()
    return received


async def _renewed(idp_app: Starlette, tokens: dict[str, Any]) -> dict[str, Any]:
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    async with _to(idp_app) as idp:
        answer = await idp.post("/token", data={**form, "client_id": CLIENT_ID})
    received: dict[str, Any] = answer.raise_for_status().json()
    return received


async def _exchanged(api: Api, form: dict[str, str]) -> dict[str, Any]:
    answer = await api.http.post("/oauth2/token", data=form)
    assert answer.status_code == 200, answer.text
    token: dict[str, Any] = answer.json()
    return token


async def _refused(api: Api, sample: Sample, id_token: str) -> tuple[int, str]:
    answer = await api.http.post("/oauth2/token", data=sample.form(id_token))
    for member in READ_IN_REFUSAL:
        assert sample.reads(member)
        assert answer.json()[member]
    return answer.status_code, answer.json()["reason"]


@both
async def test_what_a_sample_sends_gets_a_persons_files_now_and_after_a_renewal(
    api: Api, box: Control, idp_app: Starlette, language: str
) -> None:
    sample = Sample.of(language)
    login = await _signed_in(idp_app, sample.scope)
    token = await _exchanged(api, sample.form(login["id_token"]))
    assert all(sample.reads(member) and token[member] for member in READ_IN_TOKEN)
    files = await box.call("GET", sample.box_path, token["access_token"])
    assert files.json()["entries"] == []
    renewed = await _renewed(idp_app, login)
    again = await _exchanged(api, sample.form(renewed["id_token"]))
    assert again["box_user_id"] == token["box_user_id"]


@both
async def test_a_sample_names_the_token_that_box_rejected_and_gets_another(
    api: Api, box: Control, emulator: Starlette, language: str
) -> None:
    sample = Sample.of(language)
    id_token = api.id_token(aud=CLIENT_ID)
    dead = (await _exchanged(api, sample.form(id_token)))["access_token"]
    emulator.state.world.tokens[dead].revoked = True
    rejected = await box.call("GET", sample.box_path, dead)
    assert rejected.status_code == 401
    form = sample.form(id_token, rejected=dead)
    token = (await _exchanged(api, form))["access_token"]
    assert (await box.call("GET", sample.box_path, token)).status_code == 200


@both
async def test_a_sample_renews_where_that_helps_and_nowhere_else(
    api: Api, parts: Parts, idp_app: Starlette, language: str
) -> None:
    sample = Sample.of(language)
    login = await _signed_in(idp_app, sample.scope)
    await _exchanged(api, sample.form(login["id_token"]))
    ended = api.id_token(aud=CLIENT_ID, iat=int(time.time()) - 7200, exp=1)
    refused = await _refused(api, sample, ended)
    assert refused == (400, "token_expired")
    assert "token_expired" in sample.wants_fresh_token

    bearer = {"Authorization": f"Bearer {login['id_token']}"}
    await api.http.delete("/v1/tokens", headers=bearer)
    renewed = await _renewed(idp_app, login)
    assert await _refused(api, sample, renewed["id_token"]) == (400, "signed_out")
    await parts.lifecycle().lock(await candidate_of(parts), "left the company")
    later = api.id_token(aud=CLIENT_ID, iat=int(time.time()) + 10)
    assert await _refused(api, sample, later) == (403, "account_locked")
    assert sample.wants_fresh_token.isdisjoint({"signed_out", "account_locked"})
