"""Which path of Box's API leads to which function, and the scope it takes."""

from starlette.routing import Route

from sso_box_devkit.box import (
    admin_events,
    collaborations,
    files,
    folders,
    groups,
    search,
    uploads,
    user_admin,
    users,
)
from sso_box_devkit.box.access import Handler, api
from sso_box_devkit.box.scopes import Operation


def _route(
    method: str, path: str, handler: Handler, operation: Operation | None
) -> Route:
    return Route(path, api(handler, operation), methods=[method])


_USER = "/2.0/users/{user_id}"
_ALIASES = f"{_USER}/email_aliases"
_FOLDER = "/2.0/folders/{folder_id}"
_FILE = "/2.0/files/{file_id}"
_UPLOAD = "/api/2.0/files"
_GROUP = "/2.0/groups/{group_id}"
_MEMBERSHIP = "/2.0/group_memberships/{membership_id}"
_COLLABORATION = "/2.0/collaborations/{collaboration_id}"

_M = Operation.MANAGE_USERS
_USERS = [
    _route("POST", "/2.0/users", users.create_user, _M),
    _route("GET", "/2.0/users", users.list_users, _M),
    _route("POST", "/2.0/users/terminate_sessions", user_admin.terminate_sessions, _M),
    # Any token may ask whose it is: Box names no scope for it.
    _route("GET", "/2.0/users/me", users.get_me, None),
    _route("GET", _USER, users.get_user, _M),
    _route("PUT", _USER, users.update_user, _M),
    _route("DELETE", _USER, users.delete_user, _M),
    _route("PUT", f"{_USER}/folders/0", user_admin.transfer_content, _M),
    _route("GET", _ALIASES, user_admin.list_aliases, _M),
    _route("POST", _ALIASES, user_admin.add_alias, _M),
    _route("DELETE", f"{_ALIASES}/{{alias_id}}", user_admin.delete_alias, _M),
]
_G = Operation.MANAGE_GROUPS
_GROUPS = [
    _route("POST", "/2.0/groups", groups.create_group, _G),
    _route("GET", "/2.0/groups", groups.list_groups, _G),
    _route("GET", _GROUP, groups.get_group, _G),
    _route("PUT", _GROUP, groups.update_group, _G),
    _route("DELETE", _GROUP, groups.delete_group, _G),
    _route("GET", f"{_GROUP}/memberships", groups.list_members, _G),
    _route("GET", f"{_GROUP}/collaborations", collaborations.list_of_group, _G),
    _route("GET", f"{_USER}/memberships", groups.list_groups_of_user, _G),
    _route("POST", "/2.0/group_memberships", groups.create_membership, _G),
    _route("GET", _MEMBERSHIP, groups.get_membership, _G),
    _route("PUT", _MEMBERSHIP, groups.update_membership, _G),
    _route("DELETE", _MEMBERSHIP, groups.delete_membership, _G),
]
_FOLDERS = [
    _route("POST", "/2.0/folders", folders.create_folder, Operation.UPLOAD),
    _route("GET", _FOLDER, folders.get_folder, Operation.BROWSE),
    _route("GET", f"{_FOLDER}/items", folders.list_items, Operation.BROWSE),
    # Rename and move need different scopes: the handler looks.
    _route("PUT", _FOLDER, folders.update_folder, None),
    _route("POST", f"{_FOLDER}/copy", folders.copy_folder, Operation.UPLOAD),
    _route("DELETE", _FOLDER, folders.delete_folder, Operation.DELETE),
    _route("GET", "/2.0/search", search.search, Operation.BROWSE),
    _route("GET", "/2.0/recent_items", search.recent_items, Operation.BROWSE),
]
_FILES = [
    _route("OPTIONS", "/2.0/files/content", uploads.preflight, Operation.UPLOAD),
    _route("OPTIONS", f"{_FILE}/content", uploads.preflight, Operation.UPLOAD),
    _route("POST", f"{_UPLOAD}/content", uploads.upload_file, Operation.UPLOAD),
    _route(
        "POST",
        f"{_UPLOAD}/{{file_id}}/content",
        uploads.upload_version,
        Operation.UPLOAD,
    ),
    _route("GET", _FILE, files.get_file, Operation.READ),
    _route("PUT", _FILE, files.update_file, None),
    _route("POST", f"{_FILE}/copy", files.copy_file, Operation.UPLOAD),
    _route("DELETE", _FILE, files.delete_file, Operation.DELETE),
    # To look and to save need different scopes.
    _route("GET", f"{_FILE}/content", files.download, None),
    Route("/_download/{ticket}", files.follow_download, methods=["GET"]),
]
_COLLABORATIONS = [
    _route(
        "POST",
        "/2.0/collaborations",
        collaborations.create_collaboration,
        Operation.COLLABORATE,
    ),
    _route("GET", "/2.0/collaborations", collaborations.list_pending, Operation.BROWSE),
    _route("GET", _COLLABORATION, collaborations.get_collaboration, Operation.BROWSE),
    _route(
        "PUT",
        _COLLABORATION,
        collaborations.update_collaboration,
        Operation.COLLABORATE,
    ),
    _route(
        "DELETE",
        _COLLABORATION,
        collaborations.delete_collaboration,
        Operation.COLLABORATE,
    ),
    _route(
        "GET",
        f"{_FOLDER}/collaborations",
        collaborations.list_of_folder,
        Operation.BROWSE,
    ),
    _route(
        "GET", f"{_FILE}/collaborations", collaborations.list_of_file, Operation.READ
    ),
]
_EVENTS = [
    _route("GET", "/2.0/events", admin_events.list_events, Operation.READ_EVENTS),
]

API_ROUTES = [*_USERS, *_GROUPS, *_FOLDERS, *_FILES, *_COLLABORATIONS, *_EVENTS]
