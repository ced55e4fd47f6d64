"""What a call to Box can end in other than its result.

Each carries what Box's support asks for (status, code, request id) and the next step
for whoever runs this service. None carries anything else of what Box sent.
"""

from dataclasses import dataclass, field
from datetime import datetime
from math import ceil

from typing_extensions import override

from sso_box_api.box.hints import REFUSED, hint, outage_hint
from sso_box_api.errors import BoxRefused, BoxUnavailable


@dataclass(frozen=True)
class Refusal:
    """A 4xx in a form that Box documents.

    ``description`` is Box's own text: matched inside this package, shown nowhere.
    """

    status: int
    code: str
    request_id: str
    description: str = field(repr=False)
    date: datetime | None

    @override
    def __str__(self) -> str:
        return f"{self.status} {self.code or '-'} {self.request_id or '-'}"


class RefusedByBox(BoxRefused):
    """Box said no, and asking again will not help.

    ``hint`` is one line on the switch to turn or, where none is known, on whom to ask.
    """

    def __init__(self, where: str, refusal: Refusal) -> None:
        super().__init__(f"{where} {refusal}")
        self.box_status = refusal.status
        self.box_code = refusal.code
        self.box_request_id = refusal.request_id
        self.hint = hint(refusal.code, refusal.description) or REFUSED


class ConflictAtBox(RefusedByBox):
    """409: something of that value exists already."""


class NotFoundAtBox(RefusedByBox):
    """404: no such thing, or none that we may see; Box does not tell them apart."""


class InvalidResource(RefusedByBox):
    """The file or folder of a downscope is none that the subject can reach."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no verdict. ``status`` is None where no answer came at all."""

    where: str
    what: str = ""
    status: int | None = None
    code: str = ""
    request_id: str = ""

    @override
    def __str__(self) -> str:
        answer = f"{self.status} {self.code or '-'} {self.request_id or '-'}"
        parts = (self.where, "" if self.status is None else answer, self.what)
        return " ".join(filter(None, parts))


class NoVerdict(BoxUnavailable):
    """No answer that counts; ``box_status`` is None where none came at all."""

    def __init__(self, trouble: Trouble, *, retry_after_s: float | None = None) -> None:
        wait = None if retry_after_s is None else ceil(retry_after_s)
        super().__init__(str(trouble), retry_after=wait)
        self.box_status = trouble.status
        self.box_code = trouble.code
        self.box_request_id = trouble.request_id
        self.hint = outage_hint(trouble.status, trouble.what)


class SubjectTokenRejected(NoVerdict):
    """Box does not take the user token of a downscope; mint a fresh one and retry."""


class OutcomeUnknown(NoVerdict):
    """A write was sent, or may have been, and no usable answer came."""


class Failed(Exception):
    """One attempt without a verdict; stays inside this package.

    ``maybe_done``: the request may have reached Box. ``answered``: what it says about
    Box, for the breaker. ``again``: whether trying again within the deadline can help.
    """

    def __init__(
        self,
        trouble: Trouble,
        *,
        maybe_done: bool = False,
        answered: bool | None = False,
        again: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble
        self.maybe_done = maybe_done
        self.answered = answered
        self.again = again
        self.retry_after_s = retry_after_s

    def unavailable(self) -> NoVerdict:
        return NoVerdict(self.trouble, retry_after_s=self.retry_after_s)

    def unknown(self) -> OutcomeUnknown:
        return OutcomeUnknown(self.trouble, retry_after_s=self.retry_after_s)
