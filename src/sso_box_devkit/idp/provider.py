"""The provider itself: its keys, its clock, and what it has handed out."""

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sso_box_devkit.idp.clients import Client
from sso_box_devkit.idp.people import PEOPLE, Person
from sso_box_devkit.idp.signing import Algorithm, SigningKey, b64url

ID_TOKEN_LIFE_S: Final = 3600
ACCESS_TOKEN_LIFE_S: Final = 3600
CODE_LIFE_S: Final = 60


@dataclass(frozen=True)
class Grant:
    """One login of one person at one client; refreshing continues it."""

    id: str
    client_id: str
    person: Person
    scope: str
    auth_time: int

    @property
    def refreshable(self) -> bool:
        return "offline_access" in self.scope.split()


@dataclass(frozen=True)
class Code:
    """What an authorization code stands for."""

    grant: Grant
    redirect_uri: str
    code_challenge: str
    nonce: str | None
    expires_at: float


class Idp:
    """State of one provider, and the ID tokens it signs.

    ``offset_s`` shifts its clock; while ``down`` its machine-facing routes answer 503.
    """

    def __init__(
        self,
        issuer: str,
        *,
        clock: Callable[[], float],
        clients: Mapping[str, Client],
        algorithm: Algorithm,
    ) -> None:
        self.issuer = issuer
        self.base_url = issuer.rstrip("/")
        self.clients = clients
        self.offset_s = 0.0
        self.down = False
        self.requests: Counter[str] = Counter()
        self.keys = [SigningKey(algorithm)]
        self.codes: dict[str, Code] = {}
        self.used_codes: dict[str, str] = {}
        self.access_tokens: dict[str, tuple[Grant, float]] = {}
        self.refresh_tokens: dict[str, Grant] = {}
        self.used_refresh_tokens: dict[str, str] = {}
        self._clock = clock

    def now(self) -> float:
        return self._clock() + self.offset_s

    @property
    def current_key(self) -> SigningKey:
        return self.keys[-1]

    def rotate(
        self, algorithm: Algorithm | None = None, *, drop_old: bool = False
    ) -> str:
        """Sign with a new key from now on; return its kid.

        The old keys stay published, unless ``drop_old``, until they are dropped.
        """
        self.keys.append(SigningKey(algorithm or self.current_key.algorithm))
        if drop_old:
            self.drop_kid()
        return self.current_key.kid

    def drop_kid(self, kid: str | None = None) -> None:
        """Publish the old key ``kid`` no longer; without a kid, none of the old ones.

        Raises KeyError for a key that is unknown or that signs at present.
        """
        *old, current = self.keys
        if kid is not None and kid not in {key.kid for key in old}:
            raise KeyError(kid)
        kept = [] if kid is None else [key for key in old if key.kid != kid]
        self.keys = [*kept, current]

    def jwks(self) -> dict[str, object]:
        return {"keys": [key.public_jwk() for key in self.keys]}

    def mint(
        self,
        *,
        person: Person = PEOPLE["ada"],
        header: Mapping[str, object] | None = None,
        **claims: object,
    ) -> str:
        """Return an ID token of ``person`` for the first client, outside any login.

        ``claims`` and ``header`` replace or add members; None takes a member away.
        """
        return self.mint_claims(claims, header or {}, person)

    def mint_claims(
        self,
        claims: Mapping[str, object],
        header: Mapping[str, object],
        person: Person = PEOPLE["ada"],
    ) -> str:
        """Do what :meth:`mint` does, for claims of any name."""
        now = int(self.now())
        usual_claims = {
            "iss": self.issuer,
            "aud": next(iter(self.clients)),
            "exp": now + ID_TOKEN_LIFE_S,
            "iat": now,
            "auth_time": now,
            **person.claims(),
        }
        key = self.current_key
        usual_header = {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}
        return key.sign(_merge(usual_header, header), _merge(usual_claims, claims))

    def id_token(
        self, grant: Grant, *, access_token: str, nonce: str | None = None
    ) -> str:
        """Return the ID token of a login (OpenID Connect Core section 2)."""
        # Core section 3.1.3.6: the left half of the hash.
        digest = hashlib.sha256(access_token.encode("ascii")).digest()
        return self.mint(
            person=grant.person,
            aud=grant.client_id,
            auth_time=grant.auth_time,
            at_hash=b64url(digest[: len(digest) // 2]),
            nonce=nonce,
        )

    def issue_code(
        self,
        grant: Grant,
        *,
        redirect_uri: str,
        code_challenge: str,
        nonce: str | None,
    ) -> str:
        code = secrets.token_urlsafe(32)
        self.codes[code] = Code(
            grant, redirect_uri, code_challenge, nonce, self.now() + CODE_LIFE_S
        )
        return code

    def redeem_code(self, code: str) -> Code | None:
        """Return what the code stands for, once; a second use ends its login.

        RFC 6749 section 4.1.2: a code seen twice was stolen from one of the two.
        """
        found = self.codes.pop(code, None)
        if found is None:
            self.revoke(self.used_codes.get(code))
            return None
        self.used_codes[code] = found.grant.id
        return found if self.now() < found.expires_at else None

    def issue_tokens(self, grant: Grant, nonce: str | None = None) -> dict[str, object]:
        """Return the body of a token answer (RFC 6749 section 5.1)."""
        access_token = secrets.token_urlsafe(32)
        self.access_tokens[access_token] = grant, self.now() + ACCESS_TOKEN_LIFE_S
        body: dict[str, object] = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_LIFE_S,
            "scope": grant.scope,
            "id_token": self.id_token(grant, access_token=access_token, nonce=nonce),
        }
        if grant.refreshable:
            body["refresh_token"] = secrets.token_urlsafe(32)
            self.refresh_tokens[str(body["refresh_token"])] = grant
        return body

    def redeem_refresh_token(self, token: str, client_id: str) -> Grant | None:
        """Return the login to continue, once; a second use ends it.

        RFC 9700 section 4.14.2: rotation, with the family revoked at re-use.
        """
        found = self.refresh_tokens.get(token)
        if found is None:
            self.revoke(self.used_refresh_tokens.get(token))
            return None
        if found.client_id != client_id:
            return None
        del self.refresh_tokens[token]
        self.used_refresh_tokens[token] = found.id
        return found

    def userinfo(self, access_token: str) -> dict[str, object] | None:
        grant, expires_at = self.access_tokens.get(access_token, (None, 0.0))
        return grant.person.claims() if grant and self.now() < expires_at else None

    def read_hint(self, id_token: str) -> tuple[str, str] | None:
        """Return subject and client of an ID token of ours, expired or not."""
        for key in self.keys:
            claims = key.read(id_token)
            if claims is not None:
                return str(claims.get("sub")), str(claims.get("aud"))
        return None

    def end_logins(self, subject: str, client_id: str) -> None:
        """Forget every login of the person at the client."""
        held = [grant for grant, _ in self.access_tokens.values()]
        for grant in [*held, *self.refresh_tokens.values()]:
            if (grant.person.subject, grant.client_id) == (subject, client_id):
                self.revoke(grant.id)

    def revoke(self, grant_id: str | None) -> None:
        """Take back all tokens of one login that are not self-contained."""
        self.refresh_tokens = {
            token: grant
            for token, grant in self.refresh_tokens.items()
            if grant.id != grant_id
        }
        self.access_tokens = {
            token: (grant, expires_at)
            for token, (grant, expires_at) in self.access_tokens.items()
            if grant.id != grant_id
        }


def _merge(
    usual: Mapping[str, object], changes: Mapping[str, object]
) -> dict[str, object]:
    merged = {**usual, **changes}
    return {name: value for name, value in merged.items() if value is not None}
