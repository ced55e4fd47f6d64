"""The proof of the page: a token counts only for whoever started its login.

The page keeps a secret to itself and sends its hash as the ``nonce`` of the login; the
provider signs that into the ID token (OpenID Connect Core 1.0 section 15.5.2). With
the exchange the page shows the secret, which somebody who got hold of the token alone
does not have. Asked of every request, after the claims.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from sso_box_api.identity.rules import Rule
from sso_box_api.settings import ProviderSettings

# As RFC 7636 section 4.1 has it for PKCE: pages have a generator for it already.
NONCE_VERIFIER: Final = r"^[A-Za-z0-9\-._~]{43,128}$"


@dataclass(frozen=True, slots=True)
class NonceProof:
    """``shown`` by this request; else it must have been, ``session_s`` ago at most."""

    shown: bool
    session_s: int


def check_nonce(
    provider: ProviderSettings, nonce: str | None, nonce_verifier: str | None
) -> NonceProof | None:
    """Compare where the provider's settings or the caller ask for it, else ``None``.

    Raises ``NonceProofFailed``. A refreshed ID token has no nonce (section 12.2), so
    that it proves nothing; whether it may pass, the caller has to look up.
    """
    if nonce_verifier is None and not provider.require_nonce_proof:
        return None
    if nonce is None:
        return NonceProof(shown=False, session_s=provider.nonce_session_s)
    if nonce_verifier is None:
        raise Rule.NONCE_VERIFIER_MISSING.refusal()
    # What is no ASCII is no hash of ours; a signed claim may hold half a character.
    signed = nonce.encode("ascii", "replace")
    if not hmac.compare_digest(nonce_for(nonce_verifier).encode(), signed):
        raise Rule.NONCE_MISMATCH.refusal()
    return NonceProof(shown=True, session_s=provider.nonce_session_s)


def nonce_for(nonce_verifier: str) -> str:
    """What a page sends to the provider: base64url(SHA-256(verifier)), unpadded."""
    digest = hashlib.sha256(nonce_verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
