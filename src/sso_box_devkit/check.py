"""``demo --check``: one person's story against the running stack, with its evidence.

Each step states what must hold and returns what it saw; the first that does not
hold ends the check.
"""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from box_sdk_gen import BoxClient, BoxDeveloperTokenAuth
from box_sdk_gen.box.errors import BoxAPIError
from box_sdk_gen.networking.base_urls import BaseUrls
from box_sdk_gen.networking.network import NetworkSession

from sso_box_devkit.login import LoginFailed, authorize, discover, log_in, redeem
from sso_box_devkit.processes import StopSignals
from sso_box_devkit.stack import SHARED_FOLDER, Stack, local_http

# Look up, create, user token, downscoped token.
_FIRST_LOGIN_CALLS: Final = 4
# Two folders, a welcome text, a place on the shared folder.
_FURNISHING_CALLS: Final = 4
_FURNISHING_LIMIT_S: Final = 20.0
_POLL_S: Final = 0.1

# What reading an answer raises where the answer is not of the promised shape.
_MISSHAPEN: Final = (KeyError, IndexError, TypeError, ValueError)


class CheckFailed(Exception):
    """Something that must hold did not."""


@dataclass
class _Story:
    """What one step leaves for the next."""

    stack: Stack
    http: httpx.Client = field(repr=False)
    id_token: str = field(default="", repr=False)
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    box_user_id: str = ""

    def exchange(self, id_token: str, **body: object) -> httpx.Response:
        return self.http.post(
            f"{self.stack.api_url}/v1/token",
            headers={"Authorization": f"Bearer {id_token}"},
            json=body,
        )

    def vend(self, id_token: str, **body: object) -> dict[str, Any]:
        answer = self.exchange(id_token, **body)
        _expect(answer.status_code == httpx.codes.OK, f"/v1/token: {_refusal(answer)}")
        vended: dict[str, Any] = answer.json()
        return vended

    def box(self, token: str, method: str, path: str, **body: object) -> httpx.Response:
        return self.http.request(
            method,
            f"{self.stack.box_url}/2.0{path}",
            headers={"Authorization": f"Bearer {token}"},
            json=body or None,
        )

    def steps(self) -> dict[str, str]:
        """What is done for the person beside the login, by the service's own word."""
        url = f"{self.stack.api_url}/v1/me"
        headers = {"Authorization": f"Bearer {self.id_token}"}
        me = self.http.get(url, headers=headers).raise_for_status().json()
        return {step["key"]: step["state"] for step in me["box"]["provisioning"]}

    def emulator(self, path: str) -> dict[str, Any]:
        url = f"{self.stack.box_url}/_emulator{path}"
        answer: dict[str, Any] = self.http.get(url).raise_for_status().json()
        return answer

    def box_users(self) -> set[str]:
        return {user["id"] for user in self.emulator("/users")["users"]}

    def position(self) -> int:
        position: int = self.emulator("/requests")["next"]
        return position

    def calls_since(self, position: int) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = self.emulator(f"/requests?since={position}")[
            "requests"
        ]
        return calls


def run_check(
    stack: Stack, *, stop: StopSignals, progress: Callable[[str], None]
) -> dict[str, object]:
    """Return the evidence by step, ``ok``, and where it failed the step and reason.

    Raises StopRequested where ``stop`` was.
    """
    seen: dict[str, object] = {}
    with local_http() as http:
        story = _Story(stack, http)
        for step in _STEPS:
            stop.check()
            name = step.__name__.removeprefix("_")
            progress(f"checking: {name.replace('_', ' ')}")
            try:
                seen[name] = step(story)
            except (CheckFailed, LoginFailed, httpx.HTTPError, *_MISSHAPEN) as error:
                failed = {"step": name, "reason": f"{type(error).__name__}: {error}"}
                return {"ok": False, "failed": failed, **seen}
    return {"ok": True, **seen}


def _login(story: _Story) -> dict[str, object]:
    """The ID token comes out of a code flow in which PKCE is enforced."""
    issuer = story.stack.idp_url
    metadata = discover(story.http, issuer)
    stolen = authorize(story.http, metadata, "ada")
    another = authorize(story.http, metadata, "ada")
    wrong = type(stolen)(code=stolen.code, verifier=another.verifier)
    try:
        redeem(story.http, metadata, wrong)
    except LoginFailed as error:
        refusal = str(error)
    else:
        raise CheckFailed("the IdP accepted a wrong code_verifier")
    _expect(refusal == "invalid_grant", f"a wrong code_verifier got {refusal}")
    story.id_token = redeem(story.http, metadata, another)
    claims = _unverified_claims(story.id_token)
    _expect(claims["iss"] == issuer, "the ID token is not the local IdP's")
    counted = story.http.get(f"{issuer}/_idp/requests").json()["requests"]
    return {
        "issuer": claims["iss"],
        "subject": claims["sub"],
        "audience": claims["aud"],
        "flow": "authorization_code with PKCE S256",
        "wrong_code_verifier": refusal,
        "requests_at_the_idp": {p: counted[p] for p in ("/authorize", "/token")},
    }


def _first_exchange(story: _Story) -> dict[str, object]:
    """The first exchange makes one Box user and its folders, in the fewest calls."""
    users, position = story.box_users(), story.position()
    vended = story.vend(story.id_token)
    calls = story.calls_since(position)
    created = story.box_users() - users
    story.tokens["explorer"] = vended["access_token"]
    story.box_user_id = vended["box_user_id"]
    _expect(created == {story.box_user_id}, f"Box users created: {sorted(created)}")
    after_service_token = calls[_is_service_token_call(story, calls[0]) :]
    login = after_service_token[:_FIRST_LOGIN_CALLS]
    furnishing = after_service_token[_FIRST_LOGIN_CALLS:]
    _expect(
        login[-1]["path"] == "/oauth2/token" and len(furnishing) <= _FURNISHING_CALLS,
        f"calls to Box: {[_line(call) for call in calls]}",
    )
    return {
        "status": httpx.codes.OK,
        "box_user_id": story.box_user_id,
        "box_users_created": len(created),
        "box_calls": [_line(call) for call in calls],
        "box_calls_after_service_token": len(after_service_token),
        "box_calls_of_the_login": len(login),
        "box_calls_of_the_furnishing": len(furnishing),
        "scope": vended["scope"],
        "expires_in": vended["expires_in"],
    }


def _furnished(story: _Story) -> dict[str, object]:
    """What the template promises is there, in the person's own hands."""
    states = story.steps()
    until = time.monotonic() + _FURNISHING_LIMIT_S
    # The login waits for it a little only.
    while "pending" in states.values() and time.monotonic() < until:
        time.sleep(_POLL_S)
        states = story.steps()
    _expect(set(states.values()) == {"done"}, f"steps: {states}")
    token = story.tokens["explorer"]
    root = _names(story.box(token, "GET", "/folders/0/items"))
    own = next(name for name in root if name != SHARED_FOLDER)
    inside = _names(story.box(token, "GET", f"/folders/{root[own]}/items"))
    _expect(set(inside) == {"Invoices", "Welcome.txt"}, f"in {own}: {sorted(inside)}")
    return {"steps": states, "root": sorted(root), own: sorted(inside)}


def _names(listing: httpx.Response) -> dict[str, str]:
    """Return the ids of a folder's items by name."""
    return {item["name"]: item["id"] for item in listing.json()["entries"]}


def _warm_exchange(story: _Story) -> dict[str, object]:
    """The second exchange asks Box nothing."""
    position = story.position()
    vended = story.vend(story.id_token)
    calls = story.calls_since(position)
    _expect(not calls, f"calls to Box: {[_line(call) for call in calls]}")
    same = vended["access_token"] == story.tokens["explorer"]
    _expect(vended["box_user_id"] == story.box_user_id, "another Box user")
    return {"status": httpx.codes.OK, "box_calls": calls, "same_token": same}


def _official_sdk(story: _Story) -> dict[str, object]:
    """Box's own SDK works with the vended token."""
    base = story.stack.box_url
    urls = BaseUrls(base_url=base, upload_url=f"{base}/api", oauth_2_url=base)
    client = BoxClient(
        auth=BoxDeveloperTokenAuth(token=story.tokens["explorer"]),
        network_session=NetworkSession(base_urls=urls),
    )
    try:
        me = client.users.get_user_me()
        items = client.folders.get_folder_items("0")
    except BoxAPIError as error:
        # Only the status: the SDK's own text repeats the request and the answer.
        message = f"the SDK got {error.response_info.status_code}"
        raise CheckFailed(message) from None
    _expect(me.id == story.box_user_id, "/users/me is another user")
    return {
        "sdk": "boxsdk (box_sdk_gen)",
        "users_me": {"id": me.id, "name": me.name},
        "root_items": items.total_count,
    }


def _scopes_hold(story: _Story) -> dict[str, object]:
    """A vended token opens nothing outside its profile."""
    vended = story.vend(story.id_token, profile="preview")
    story.tokens["preview"] = vended["access_token"]
    folder = {"name": "not allowed", "parent": {"id": "0"}}
    attempts = {
        "preview creates a folder": story.box(
            story.tokens["preview"], "POST", "/folders", **folder
        ),
        "explorer lists the users": story.box(
            story.tokens["explorer"], "GET", "/users"
        ),
    }
    refused = {what: answer.status_code for what, answer in attempts.items()}
    _expect(set(refused.values()) == {httpx.codes.FORBIDDEN}, f"got {refused}")
    return {"preview_scope": vended["scope"], "refused": refused}


def _people_are_apart(story: _Story) -> dict[str, object]:
    """One person's token does not reach another one's folder."""
    folder = {"name": "Ada's papers", "parent": {"id": "0"}}
    created = story.box(story.tokens["explorer"], "POST", "/folders", **folder)
    _expect(created.status_code == httpx.codes.CREATED, f"got {_refusal(created)}")
    path = f"/folders/{created.json()['id']}"
    second = story.vend(log_in(story.http, story.stack.idp_url, "grace"))
    story.tokens["second person"] = second["access_token"]
    _expect(second["box_user_id"] != story.box_user_id, "two people, one Box user")
    own = story.box(story.tokens["explorer"], "GET", path).status_code
    others = story.box(story.tokens["second person"], "GET", path).status_code
    _expect((own, others) == (httpx.codes.OK, httpx.codes.NOT_FOUND), f"{own} {others}")
    return {
        "first_box_user": story.box_user_id,
        "second_box_user": second["box_user_id"],
        "own_folder": own,
        "others_folder": others,
    }


def _tampered_id_token(story: _Story) -> dict[str, object]:
    """A claim changed after signing is noticed."""
    header, payload, signature = story.id_token.split(".")
    claims = json.dumps({**_unverified_claims(story.id_token), "sub": "grace"})
    payload = base64.urlsafe_b64encode(claims.encode()).rstrip(b"=").decode()
    answer = story.exchange(f"{header}.{payload}.{signature}")
    return _expect_refusal(answer, httpx.codes.UNAUTHORIZED, "token_signature")


def _lock(story: _Story) -> dict[str, object]:
    """Locking refuses the person here and kills the tokens at Box."""
    done = story.stack.run_api_command(
        "account", "lock", story.stack.idp_url, "ada", "--json"
    )
    _expect(done.returncode == 0, f"lock: status {done.returncode}, {done.stderr}")
    refusal = _expect_refusal(
        story.exchange(story.id_token), httpx.codes.FORBIDDEN, "account_locked"
    )
    at_box = {
        profile: story.box(token, "GET", "/users/me").status_code
        for profile, token in story.tokens.items()
    }
    dead, alive = httpx.codes.UNAUTHORIZED, httpx.codes.OK
    wanted = {"explorer": dead, "preview": dead, "second person": alive}
    _expect(at_box == wanted, f"tokens at Box: {at_box}")
    return {
        "command": json.loads(done.stdout),
        "exchange": refusal,
        "tokens_at_box": at_box,
    }


_STEPS: Final = (
    _login,
    _first_exchange,
    _furnished,
    _warm_exchange,
    _official_sdk,
    _scopes_hold,
    _people_are_apart,
    _tampered_id_token,
    _lock,
)


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001  reads as a sentence
    if not holds:
        raise CheckFailed(otherwise)


def _expect_refusal(
    answer: httpx.Response, status: int, code: str
) -> dict[str, object]:
    seen = {"status": answer.status_code, "code": answer.json().get("code")}
    _expect(seen == {"status": status, "code": code}, f"got {seen}")
    return seen


def _refusal(answer: httpx.Response) -> str:
    """Name status and code only: bodies may hold tokens."""
    try:
        code = answer.json().get("code", "")
    except (ValueError, AttributeError):
        code = ""
    return f"{answer.status_code} {code}".strip()


def _is_service_token_call(story: _Story, call: dict[str, Any]) -> bool:
    """Tell a token request for the enterprise from one for the person."""
    is_token_call = call["path"] == "/oauth2/token"
    return is_token_call and story.box_user_id not in call["subject"]


def _line(call: dict[str, Any]) -> str:
    return f"{call['method']} {call['path']} {call['status']}"


def _unverified_claims(id_token: str) -> dict[str, Any]:
    payload = id_token.split(".")[1]
    claims: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims
