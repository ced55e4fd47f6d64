"""Every answer of the emulator in a test run, held against Box's own OpenAPI document.

The document is no part of this project: the environment variable BOX_OPENAPI names a
copy. Without one nothing is checked. Emulators in other processes are not reached.
"""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.support.openapi import Document

_BESIDE_THE_CHECKOUT = Path(__file__).parents[3] / "shared/data/box-openapi.json"
DOCUMENT = Path(os.environ.get("BOX_OPENAPI", _BESIDE_THE_CHECKOUT))

# What the tests since the last look got to see; a fixture fails the test for it.
PROBLEMS: list[str] = []


class Deviation(NamedTuple):
    """What differs on purpose, as a pattern of problems, and who says otherwise."""

    problem: str
    source: str


_CODES = (
    "access_denied_insufficient_permissions|bad_digest|"
    "collaborations_not_available_on_root_folder|cors_origin_not_whitelisted|"
    "cyclical_folder_structure|external_collaboration_restricted|"
    "file_size_limit_exceeded|folder_not_empty|forbidden_by_policy|invalid_limit|"
    "invalid_offset|invalid_parameter|invalid_status|item_name_in_use|"
    "item_name_too_long|metadata_after_file_contents|missing_parameter|"
    "rate_limit_exceeded|storage_limit_exceeded|user_already_collaborator|"
    "user_login_already_used"
)
_SCOPES = (
    "base_sidebar|item_comment|item_task|manage_[a-z_]+|root_readonly|root_readwrite"
)
DEVIATIONS = [
    Deviation(
        rf" \.code: '({_CODES})' is not in the enum$",
        "Box's guides and the texts of its own operations name these codes; the enum "
        "of ClientError lists but a few",
    ),
    Deviation(
        rf" \.restricted_to\[\]\.scope: '({_SCOPES})' is not in the enum$",
        "the guides to the Sidebar and to scopes use them in a token exchange, as "
        "'any valid scope for the application'",
    ),
    Deviation(
        r" 409 \.context_info\.conflicts: dict for array$",
        "file uploads and their check were seen to name one object; the UI Elements "
        "read conflicts.id",
    ),
    Deviation(
        r"\.(authenticated_download_url|is_download_available|download_url): unknown$",
        "the UI Elements ask for them by name, to preview and to save",
    ),
    Deviation(
        r"^GET /2\.0/recent_items 200 \.order: unknown$",
        "the UI Elements read order.by and order.direction of recent items",
    ),
    Deviation(
        r" \.upload_token: null$",
        "Box's guide to the check before an upload shows it as null",
    ),
    Deviation(
        r"^OPTIONS /2\.0/files/\d+/content is no operation",
        "the guides check a new version there, and the UI Elements do",
    ),
    Deviation(
        r" \.shared_link\.accessed: missing$",
        "required by a slip: the schema has no such property, but `access`",
    ),
]
_EMPTY_REFUSALS = (401, 403)
_NOT_EMULATED = 501


class ContractCheck:
    """ASGI middleware round the emulator: notes what its answers get wrong."""

    def __init__(self, app: ASGIApp, document: Document, problems: list[str]) -> None:
        self._app = app
        self._document = document
        self._problems = problems
        self._allowed = [re.compile(each.problem) for each in DEVIATIONS]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []

        async def noted(message: Message) -> None:
            answer.append(dict(message))
            await send(message)

        await self._app(scope, receive, noted)
        if scope["type"] != "http" or not answer or _is_nobodys(scope):
            return
        for problem in self._check(scope, answer):
            line = f"{scope['method']} {scope['path']} {problem}"
            if not any(pattern.search(line) for pattern in self._allowed):
                self._problems.append(line)

    def _check(self, scope: Scope, answer: list[Message]) -> list[str]:
        start, *rest = answer
        status: int = start["status"]
        headers = {k.decode().lower(): v.decode() for k, v in start["headers"]}
        body = b"".join(message.get("body", b"") for message in rest)
        if status == _NOT_EMULATED:
            # The emulator's own word, so that no gap is taken for an answer of Box.
            return []
        if status in _EMPTY_REFUSALS and not body and "www-authenticate" in headers:
            # Seen at Box for a token that is refused, in spite of the document.
            return []
        path = scope["path"].removeprefix("/api").removeprefix("/2.0")
        operation = self._document.operation(scope["method"], path)
        if operation is None:
            return ["is no operation of Box"]
        media_type = headers.get("content-type", "").partition(";")[0]
        found = self._document.problems(operation, status, media_type, body)
        return [f"{status} {problem}" for problem in found]


def checked(emulator: Starlette) -> Starlette:
    """The same app; from now on its answers are held against the document."""
    if DOCUMENT.is_file():
        emulator.add_middleware(ContractCheck, document=document(), problems=PROBLEMS)
    return emulator


@cache
def document() -> Document:
    """With one change: a listing shows folders in full where fields are asked for.

    The schema names the mini form, but the Explorer lives by their permissions.
    """
    document = Document(DOCUMENT)
    for form in document.schemas["Item"]["oneOf"]:
        form["$ref"] = form["$ref"].replace("Folder--Mini", "Folder--Full")
    return document


def _is_nobodys(scope: Scope) -> bool:
    """Control routes, the download host, ordered faults and browsers' questions."""
    state: dict[str, Any] = scope.get("state", {})
    headers = dict(scope["headers"])
    return (
        scope["path"].startswith(("/_emulator", "/_download"))
        or state.get("spoilt") is True
        or (
            scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        )
    )
