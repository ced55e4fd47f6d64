"""What verifying an ID token costs, beside the bare RSA-2048 verification.

That is ``cryptography``'s, and no implementation can go below it for a new token. The
three are measured in turn, so that a busy machine slows all of them alike.
"""

import asyncio
import base64
import time
from collections.abc import Callable
from statistics import median

import httpx
from benchmarks.rounds import Size, rounded
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from sso_box_api.identity import IdentityVerifier, UnverifiedToken
from sso_box_api.settings import ProviderSettings
from sso_box_devkit.idp.app import create_idp
from sso_box_devkit.idp.provider import Idp

_ISSUER = "https://idp.example"
WARM_UP = 100


def measure(size: Size) -> dict[str, object]:
    medians = asyncio.run(_measure(size.finds))
    bare = medians["bare_rsa"]
    return {
        "tokens": size.finds,
        "median_us": {name: round(us, 1) for name, us in medians.items()},
        "ratio_to_bare_rsa": {name: rounded(us / bare) for name, us in medians.items()},
    }


async def _measure(tokens: int) -> dict[str, float]:
    app = create_idp(_ISSUER)
    idp: Idp = app.state.idp
    provider = {"id": "bench", "issuer": _ISSUER, "client_ids": list(idp.clients)}
    times: dict[str, list[float]] = {"bare_rsa": [], "cold": [], "remembered": []}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        verifier = IdentityVerifier([ProviderSettings.model_validate(provider)], http)
        for number in range(WARM_UP + tokens):
            token = UnverifiedToken(idp.mint(jti=str(number)))
            times["bare_rsa"].append(_timed(_bare(idp, token)))
            times["cold"].append(await _verified(verifier, token))
            times["remembered"].append(await _verified(verifier, token))
        await verifier.close()
    return {name: median(taken[WARM_UP:]) for name, taken in times.items()}


def _bare(idp: Idp, token: UnverifiedToken) -> Callable[[], None]:
    jwk = idp.current_key.public_jwk()
    public = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
    content, _, signature = token.rpartition(".")
    raw = _decoded(signature)
    return lambda: public.verify(raw, content.encode(), padding.PKCS1v15(), SHA256())


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _timed(call: Callable[[], None]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1_000


async def _verified(verifier: IdentityVerifier, token: UnverifiedToken) -> float:
    start = time.perf_counter_ns()
    await verifier.verify(token)
    return (time.perf_counter_ns() - start) / 1_000
