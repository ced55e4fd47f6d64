"""The switches of one emulated enterprise: what an admin sets, and what Box leaves unsaid.

Changed while running with ``PATCH /_emulator/settings``; the names are a contract.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=86_400)]


class Settings(BaseModel):
    """Each default is what a correctly set up Box app gives, or, where Box is silent,
    the behaviour that is hardest on a client.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    # What an admin switches at Box.
    app_authorized: bool = True
    user_tokens_enabled: bool = True
    as_user_enabled: bool = True
    app_access: Literal["app", "enterprise"] = "enterprise"
    cors_domains: list[str] = ["http://localhost:5173"]

    # Logins of Box accounts outside this enterprise: taken, and invisible to it.
    logins_elsewhere: list[str] = []

    # Box's clock against ours: every time rule and the Date header follow it.
    clock_offset_s: float = Field(default=0, ge=-1e9, le=1e9)
    # Before each answer, control routes excepted.
    latency_ms: float = Field(default=0, ge=0, le=60_000)
    # None: somewhere from 3600 to 4250, as seen at Box, so that nobody hard-codes it.
    token_life_s: int | None = Field(default=None, ge=1, le=86_400)

    # None: not counted. Box's figures are 1000 and 240 for each user.
    calls_per_minute: int | None = Field(default=None, ge=0)
    uploads_per_minute: int | None = Field(default=None, ge=0)
    limits_tell_retry_after: bool = True

    # Box does not say how long a new user stays unfindable by its external id or its
    # login, nor whether that id must be unique.
    lookup_lag_s: Seconds = 0
    duplicate_external_id: Literal["allow", "conflict"] = "allow"
    # Nor whether a look-up by it is exact; a name's filter goes by the beginning.
    external_id_match: Literal["exact", "ignore_case", "prefix"] = "exact"

    # Box does not say what deactivation does to new tokens and to live ones.
    inactive_user_tokens: Literal["refuse", "allow"] = "refuse"
    inactive_user_sessions: Literal["live", "dead"] = "live"
    # The code of the refusal; its status is 400, as of every such refusal.
    inactive_user_error: Literal[
        "invalid_grant", "invalid_request", "unauthorized_client"
    ] = "invalid_grant"
    # Deleting a user who owns content without `force`; and what a retention policy
    # of the enterprise does to it even with `force`.
    delete_with_content_status: Literal[400, 403, 409] = 400
    retention_policy: bool = False

    # What a second group of a name, a second membership and a second collaboration
    # of the same user are answered with. Box's OpenAPI has a 409 with the code
    # invalid_parameter for the first; a 409 with `conflict` was seen, too.
    duplicate_group_code: Literal["invalid_parameter", "conflict"] = "invalid_parameter"
    duplicate_membership_status: Literal[400, 409] = 409
    duplicate_collaboration_status: Literal[400, 409] = 400
    # Users of the enterprise accept on their own, by Box's default for them.
    collaboration_status: Literal["accepted", "pending"] = "accepted"
    # Information barriers: no new collaborations and memberships.
    information_barrier: bool = False

    # One file. The figure is what Box shows for its users.
    max_upload_size: int = Field(default=5_368_709_120, ge=0)

    # Downscoping: unsaid is whether a narrow token may be exchanged again, and
    # whether its children die with a revoked token.
    exchange_again: Literal["narrow", "refuse"] = "narrow"
    revoke_children: bool = False
    revoke_unknown: Literal["ok", "error"] = "ok"

    # Wrong answers a careful client must notice.
    ignore_scope: bool = False  # all of the subject's rights, as if no scope was sent
    ignore_resource: bool = False  # no restriction to the resource that was sent
    grant_extra_scope: str | None = None  # one scope that nobody asked for
