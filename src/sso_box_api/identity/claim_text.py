"""Text that a person or an administrator chose, made safe to store, show and pass on.

The last step on an accepted token. Nothing here decides who somebody is.
"""

import unicodedata
from collections.abc import Collection, Mapping
from typing import Any

from sso_box_api.text import cut_by_grapheme

# A text, a number, true or false, or several texts: what a claim may say of a person.
ClaimValue = str | int | bool | tuple[str, ...]

MAX_NAME_CHARS = 255
MAX_LISTED = 1000
MAX_EMAIL_CHARS = 254  # RFC 5321 section 4.5.3.1.3, without the angle brackets

# Normalising costs the square of a run of combining marks in the worst case.
_MAX_RAW_CHARS = 4 * MAX_NAME_CHARS

# Controls, lone surrogates, line and paragraph separators.
_DROPPED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# They reorder the text round them, so a name could show as another one.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def display_name(claims: Mapping[str, Any]) -> str | None:
    """``name``, else given and family name, else ``preferred_username``; cleaned."""
    for names in (("name",), ("given_name", "family_name"), ("preferred_username",)):
        parts = (_clean(claims.get(claim)) for claim in names)
        candidate = " ".join(part for part in parts if part)
        # Also refuses what shows as nothing, such as a lone zero-width space.
        if any(char.isprintable() for char in candidate):
            return cut_by_grapheme(candidate, MAX_NAME_CHARS).rstrip()
    return None


def email_hint(
    claims: Mapping[str, Any], claim: str = "email", proof: str = "email_verified"
) -> tuple[str | None, bool]:
    """The cleaned address, and whether the issuer vouches for exactly that text.

    Of Azure AD B2C's list ``emails`` the first. ``proof`` is the setting ``email_proof``.

    An address that had to be cleaned is another address than the verified one, and
    one that is too long is dropped whole: cut, it would be somebody else's.
    """
    raw = claims.get(claim)
    if claim == "emails" and isinstance(raw, list):
        raw = raw[0] if raw else None
    email = _clean(raw)
    if "@" not in email or len(email) > MAX_EMAIL_CHARS:
        return None, False
    return email, _is_vouched_for(claims, email, proof) and email == raw


def kept_claims(
    claims: Mapping[str, Any], names: Collection[str]
) -> dict[str, ClaimValue]:
    """Those of ``names`` that are there, each in a form that can be used.

    A claim of another form is left out as if it were absent: an administrator's rules
    may tell "no value" from "an empty list", never from what cannot be read.
    """
    kept = {name: _kept(claims[name]) for name in names if name in claims}
    return {name: value for name, value in kept.items() if value is not None}


def describe(
    claims: Mapping[str, Any], keep_claims: Collection[str]
) -> tuple[str | None, str | None, dict[str, ClaimValue]]:
    """Name, e-mail address and kept claims, as they are read from a token's claims."""
    return display_name(claims), email_hint(claims)[0], kept_claims(claims, keep_claims)


def _kept(value: object) -> ClaimValue | None:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return cut_by_grapheme(_clean(value), MAX_NAME_CHARS) or None
    if isinstance(value, list) and len(value) <= MAX_LISTED:
        texts = tuple(_clean(entry) for entry in value)
        # A text that had to be cut or dropped would be another group's name.
        if all(0 < len(text) <= MAX_NAME_CHARS for text in texts):
            return texts
    return None


def _is_vouched_for(claims: Mapping[str, Any], email: str, proof: str) -> bool:
    """Whether the provider answers for the address, in its own way of saying so."""
    if proof == "xms_edov":  # Entra: the domain's owner is verified
        return claims.get("xms_edov") in (True, "true", "1")  # and 1, which is True
    # Some providers write the boolean as text (Cognito for federated people).
    value = claims.get("email_verified")
    verified = value is True or value == "true"
    if proof == "hosted_domain":
        # Google answers for its own addresses and for those of a Workspace domain;
        # elsewhere the address may have passed to somebody else since.
        return verified and (
            email.lower().endswith("@gmail.com") or isinstance(claims.get("hd"), str)
        )
    return verified


def _clean(value: object) -> str:
    if not isinstance(value, str):
        return ""
    if value.isascii() and value.isprintable():
        return value[:_MAX_RAW_CHARS].strip()
    kept = "".join(
        char
        for char in value[:_MAX_RAW_CHARS]
        if unicodedata.category(char) not in _DROPPED_CATEGORIES
        and char not in _BIDI_CONTROLS
    )
    return unicodedata.normalize("NFC", kept).strip()
