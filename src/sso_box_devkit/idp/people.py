"""Who can log in: a few people, and whoever a name is typed for."""

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Final

_NAME_LIMIT: Final = 100


@dataclass(frozen=True)
class Person:
    """What an ID token says about somebody."""

    subject: str
    name: str
    given_name: str
    family_name: str
    email: str
    email_verified: bool = True

    def claims(self) -> dict[str, object]:
        return {
            "sub": self.subject,
            "name": self.name,
            "given_name": self.given_name,
            "family_name": self.family_name,
            "email": self.email,
            "email_verified": self.email_verified,
        }


def _known(key: str, given: str, family: str) -> Person:
    return Person(key, f"{given} {family}", given, family, f"{key}@example.com")


PEOPLE: Final = {
    person.subject: person
    for person in (
        _known("ada", "Ada", "Lovelace"),
        _known("grace", "Grace", "Hopper"),
        _known("alan", "Alan", "Turing"),
        _known("emmy", "Emmy", "Noether"),
        _known("kurt", "Kurt", "Gödel"),
    )
}


def find_person(typed: str) -> Person | None:
    """Return the person of that key or name; make one up for any other name.

    The same name, however spelt in case and spaces, is always the same person.
    None if nothing readable was typed.
    """
    name = " ".join(unicodedata.normalize("NFKC", typed).split())[:_NAME_LIMIT]
    if not name.isprintable() or not name:
        return None
    folded = name.casefold()
    for person in PEOPLE.values():
        if folded in {person.subject, person.name.casefold()}:
            return person
    # The prefix keeps a typed name apart from the people above.
    subject = "typed-" + hashlib.sha256(folded.encode()).hexdigest()[:20]
    given, _, family = name.partition(" ")
    return Person(
        subject=subject,
        name=name,
        given_name=given,
        family_name=family or given,
        email=f"{_mailbox(folded) or subject}@example.com",
        email_verified=False,
    )


def _mailbox(folded: str) -> str:
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    return ".".join("".join(c if c.isalnum() else " " for c in plain).split())[:64]
