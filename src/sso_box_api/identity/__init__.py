"""Who is this? From the text of a token to an ``Identity``, or a refusal.

In the order of a request: ``verifier`` (the flow, read it first) → ``remembered``
(seen a moment ago) → ``compact`` (bounds and strict parse) → ``issuers`` (closed
registry) → ``remote_keys`` or ``inline_keys``, ``keyset``, ``jose_keys`` (the issuer's
keys) → ``id_token``, ``policy`` (signature and claims; what this provider asks for
besides) → ``nonce`` (whose login it was). Keys are fetched by ``key_source``, ``documents``, ``connection``,
``addresses``. ``rules`` names every refusal. ``probe`` and
``explanation`` are for administrators, with the same functions.
"""

from sso_box_api.identity.claim_text import ClaimValue, describe
from sso_box_api.identity.compact import MAX_TOKEN_CHARS, UnverifiedToken
from sso_box_api.identity.connection import ProviderTransport
from sso_box_api.identity.explanation import Explanation
from sso_box_api.identity.id_token import Identity
from sso_box_api.identity.nonce import NONCE_VERIFIER, NonceProof
from sso_box_api.identity.probe import Probed, ProbeReport
from sso_box_api.identity.remote_keys import KeysState
from sso_box_api.identity.verifier import IdentityVerifier

__all__ = [
    "MAX_TOKEN_CHARS",
    "NONCE_VERIFIER",
    "ClaimValue",
    "Explanation",
    "Identity",
    "IdentityVerifier",
    "KeysState",
    "NonceProof",
    "ProbeReport",
    "Probed",
    "ProviderTransport",
    "UnverifiedToken",
    "describe",
]
