"""How a user looks in an answer: base, standard and asked-for fields."""

from typing import Any

from starlette.requests import Request

from sso_box_devkit.box.access import Caller
from sso_box_devkit.box.items import asked_fields, constantly, select, timestamp
from sso_box_devkit.box.state import User

_BASE = ("type", "id")
# external_app_user_id is not among them: it has to be asked for.
_STANDARD = (
    *_BASE, "name", "login", "created_at", "modified_at", "language", "timezone",
    "space_amount", "space_used", "max_upload_size", "status", "job_title", "phone",
    "address", "avatar_url", "notification_email",
)  # fmt: skip
# What a caller may set and the emulator only keeps, with what is there unset.
ATTRIBUTES: dict[str, Any] = {
    "language": "en",
    "timezone": "America/Los_Angeles",
    "job_title": "",
    "phone": "",
    "address": "",
    "notification_email": None,
    "role": "user",
    "tracking_codes": [],
    "can_see_managed_users": False,
    "is_sync_enabled": False,
    "is_external_collab_restricted": False,
    "is_exempt_from_device_limits": False,
    "is_exempt_from_login_verification": False,
}


def shown_user(request: Request, caller: Caller, user: User) -> dict[str, Any]:
    """With what ``fields=`` asks for."""
    return render_user(caller, user, asked_fields(request.query_params.get("fields")))


def render_user(caller: Caller, user: User, fields: list[str] | None) -> dict[str, Any]:
    enterprise = caller.enterprise
    constant: dict[str, Any] = {
        **ATTRIBUTES,
        **user.attributes,
        "type": "user",
        "id": user.id,
        "name": user.name,
        "login": user.login,
        "created_at": timestamp(user.created_at),
        "modified_at": timestamp(user.modified_at),
        "space_amount": user.space_amount,
        "max_upload_size": enterprise.settings.max_upload_size,
        "status": user.status,
        "avatar_url": f"https://app.box.com/api/avatar/large/{user.id}",
        "enterprise": {
            "type": "enterprise",
            "id": enterprise.id,
            "name": "Emulated enterprise",
        },
        "my_tags": [],
        "hostname": "https://app.box.com/",
        "is_platform_access_only": user.is_app_user,
    }
    # Whether Box shows null where there is none is unknown.
    if user.external_app_user_id and user.client_id == caller.token.app.client_id:
        constant["external_app_user_id"] = user.external_app_user_id
    shown = {name: constantly(value) for name, value in constant.items()}
    shown["space_used"] = lambda: enterprise.tree.stored(user.id)
    return select(shown, fields or _STANDARD, _BASE)
