"""What verifying an ID token costs: ``python -m benchmarks.verify``.

Prints one JSON object: medians in microseconds, and their ratios to the bare RSA-2048
verification of ``cryptography``, which no implementation can go below for a new token.
The three are measured in turn, so that a busy machine slows all of them alike.
"""

import asyncio
import json
import time
from collections.abc import Callable
from statistics import median

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from sso_box_api.identity import IdentityVerifier, UnverifiedToken
from sso_box_api.settings import ProviderSettings
from tests.support.oidc import FakeIssuer, provider_values
from tests.support.tokens import SigningKey, good_claims

ROUNDS = 2_000
WARM_UP = 100


async def measure() -> dict[str, float]:
    key = SigningKey.rsa("key-1")
    issuer = FakeIssuer(key)
    async with issuer.client() as http:
        verifier = IdentityVerifier([_provider()], http)
        tokens = _tokens(key, WARM_UP + ROUNDS)
        bare = _bare(key, tokens[0])
        times: dict[str, list[float]] = {"bare_rsa": [], "cold": [], "remembered": []}
        for token in tokens:
            times["bare_rsa"].append(_timed(bare))
            times["cold"].append(await _verified(verifier, token))
            times["remembered"].append(await _verified(verifier, token))
        await verifier.close()
    return {name: median(taken[WARM_UP:]) for name, taken in times.items()}


def _provider() -> ProviderSettings:
    return ProviderSettings.model_validate(provider_values())


def _tokens(key: SigningKey, count: int) -> list[UnverifiedToken]:
    now = time.time()
    return [
        UnverifiedToken(key.token(good_claims(now, jti=str(number))))
        for number in range(count)
    ]


def _bare(key: SigningKey, token: UnverifiedToken) -> Callable[[], None]:
    signing_input = token.rpartition(".")[0].encode()
    signature = key.sign(signing_input)
    public = key.private.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    return lambda: public.verify(signature, signing_input, padding.PKCS1v15(), SHA256())


def _timed(call: Callable[[], None]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1_000


async def _verified(verifier: IdentityVerifier, token: UnverifiedToken) -> float:
    start = time.perf_counter_ns()
    await verifier.verify(token)
    return (time.perf_counter_ns() - start) / 1_000


def main() -> None:
    medians = asyncio.run(measure())
    bare = medians["bare_rsa"]
    report = {
        "rounds": ROUNDS,
        "median_us": {name: round(us, 1) for name, us in medians.items()},
        "ratio_to_bare_rsa": {
            name: round(us / bare, 2) for name, us in medians.items()
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
