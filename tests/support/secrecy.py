"""Nothing secret that a test run produced may stand where others can read it.

Whatever the run makes that is secret is noted when it is made, whatever others could
read is noted when it is written, and at the end of a run the one is searched for the
other: for the whole of a secret, for its beginning and for its end.

Secret are: ID tokens (their signatures: the rest is no credential), every token of the
emulator, assertions and whatever else is sent to its token endpoint, the keys they are
signed with, client secrets and passphrases, keys for the ledger, passwords of database
URLs, refresh tokens, codes with their verifiers, and the page's nonce verifiers.

Searched are: log records of this process, with their tracebacks and whatever their
level, if the logger is the service's own; answers of the service to the tests' HTTP
clients but those that hand a token out; what the commands and the processes that were
forked for tests printed, and server processes; and the rows of all tables, before each
test empties them and of every database at the end.

Not covered are: parts of a secret from its middle alone, secrets shorter than 16
characters or of few different ones, what the devkit's own programs print, what is
logged by servers that a test stopped listening to, and secrets that only a process
outside of this one has seen, an assertion that reached no emulator say.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

PART = 12
_LEAST = 16
_LEAST_DIFFERENT = 8
_JWT_PARTS = 3
_RUN = re.compile(r"[A-Za-z0-9_+/=~!-]{12,}")
_NAMES = (
    "access_token|assertion|clientSecret|client_secret|code_verifier|id_token"
    "|nonce_verifier|passphrase|password|privateKey|refresh_token|subject_token|token"
)
_IN_JSON = re.compile(rf'"({_NAMES})"\s*:\s*"([^"]+)"')
# In a JSON body `code` is the name of an error.
_IN_FORM = re.compile(rf"(?:^|[&?])({_NAMES}|code)=([^&\s]+)")


class Finding(NamedTuple):
    """Deliberately without the secret: this is printed."""

    kind: str
    place: str


@dataclass
class Watch:
    """What is secret, and what was read; ``counts`` is for the report of a run.

    ``is_deaf``: nothing is kept, neither what is read nor what is secret.
    """

    counts: Counter[str] = field(default_factory=Counter)
    is_deaf: bool = False
    _parts: dict[str, str] = field(default_factory=dict, repr=False)
    _runs: dict[str, str] = field(default_factory=dict, repr=False)

    def secret(self, kind: str, value: str) -> None:
        """Note a secret: of a JWT the signature, of a text each line."""
        if self.is_deaf:
            return
        if value.count(".") == _JWT_PARTS - 1:
            value = value.rsplit(".", 1)[1]
        for line in value.replace("\\n", "\n").splitlines():
            if len(line) < _LEAST or len(set(line)) < _LEAST_DIFFERENT or " " in line:
                continue
            if line[:PART] not in self._parts:
                self.counts["secrets"] += 1
            self._parts.setdefault(line[:PART], kind)
            self._parts.setdefault(line[-PART:], kind)

    def key(self, kind: str, private: object) -> None:
        """Note a private key: its PEM, and the number that makes it private."""
        if isinstance(private, rsa.RSAPrivateKey):
            number = private.private_numbers().d
        elif isinstance(private, ec.EllipticCurvePrivateKey):
            number = private.private_numbers().private_value
        else:
            return
        pem = private.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()
        # The first line is that of every key of the kind.
        self.secret(kind, "\n".join(pem.splitlines()[2:-1]))
        self.secret(kind, str(number))
        self.secret(kind, f"{number:x}")

    def url(self, kind: str, url: str) -> None:
        self.secret(kind, unquote(urlsplit(url).password or ""))

    def named(self, text: str) -> None:
        """Note what stands under the name of a secret in a JSON body or a form."""
        for name, value in [*_IN_JSON.findall(text), *_IN_FORM.findall(text)]:
            self.secret(name, unquote(value))

    def read(self, place: str, text: str) -> None:
        """Note what others can read there."""
        if self.is_deaf:
            return
        self.counts["lines"] += text.count("\n") + 1
        for run in _RUN.findall(text):
            self._runs.setdefault(run, place)

    def read_all(self, place: str, texts: Iterable[str]) -> None:
        for text in texts:
            self.read(place, text)

    def findings(self) -> list[Finding]:
        """Search everything that was read, once for what is repeated."""
        found = []
        for run, place in self._runs.items():
            windows = {run[at : at + PART] for at in range(len(run) - PART + 1)}
            kinds = {self._parts[part] for part in windows & self._parts.keys()}
            found += [Finding(kind, place) for kind in sorted(kinds)]
        return found


# Of this process.
WATCH = Watch()
