"""Box's own SDK works against the emulator with nothing changed but its addresses."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from box_sdk_gen import (
    BoxAPIError,
    BoxCCGAuth,
    BoxClient,
    BoxJWTAuth,
    CCGConfig,
    JWTConfig,
)
from box_sdk_gen.managers.folders import CreateFolderParent
from box_sdk_gen.managers.memberships import (
    CreateGroupMembershipGroup,
    CreateGroupMembershipUser,
)
from box_sdk_gen.managers.uploads import (
    UploadFileAttributes,
    UploadFileAttributesParentField,
)
from box_sdk_gen.managers.user_collaborations import (
    CreateCollaborationAccessibleBy,
    CreateCollaborationAccessibleByTypeField,
    CreateCollaborationItem,
    CreateCollaborationItemTypeField,
    CreateCollaborationRole,
)
from box_sdk_gen.networking.base_urls import BaseUrls
from starlette.concurrency import run_in_threadpool

from sso_box_devkit.box import Enterprise, write_config


@pytest.fixture
def client(address: str) -> Callable[[Any], BoxClient]:
    urls = BaseUrls(
        base_url=address, upload_url=f"{address}/api", oauth_2_url=f"{address}/oauth2"
    )
    return lambda auth: BoxClient(auth=auth).with_custom_base_urls(urls)


def walk(service: BoxClient, as_user: Callable[[str], BoxClient]) -> None:
    """From an app user's creation to a narrow token, and back to nothing."""
    created = service.users.create_user(
        "Ada", is_platform_access_only=True, external_app_user_id="auth0|1"
    )
    found = service.users.get_users(external_app_user_id="auth0|1").entries
    assert found is not None
    assert [user.id for user in found] == [created.id]

    user = as_user(created.id)
    folder = user.folders.create_folder("Docs", CreateFolderParent(id="0"))
    inner = user.folders.create_folder("Inner", CreateFolderParent(id=folder.id))
    with pytest.raises(BoxAPIError) as conflict:
        user.folders.create_folder("Docs", CreateFolderParent(id="0"))
    assert conflict.value.response_info.status_code == 409

    content = b"welcome" * 1000
    uploaded = user.uploads.upload_file(
        UploadFileAttributes("a.txt", UploadFileAttributesParentField(id=inner.id)),
        io.BytesIO(content),
    )
    assert uploaded.entries is not None
    file = uploaded.entries[0]
    assert file.sha_1 == hashlib.sha1(content, usedforsecurity=False).hexdigest()
    downloaded = user.downloads.download_file(file.id)
    assert downloaded is not None
    assert downloaded.read() == content

    narrow = user.auth.downscope_token(
        ["base_explorer", "item_preview"],
        resource=f"https://api.box.com/2.0/folders/{folder.id}",
        network_session=user.network_session,
    )
    assert narrow.restricted_to is not None
    objects = [entry.object for entry in narrow.restricted_to]
    assert [o.id for o in objects if o is not None] == [folder.id, folder.id]

    token = user.auth.retrieve_token(network_session=user.network_session)
    user.auth.revoke_token(network_session=user.network_session)
    headers = {"authorization": f"Bearer {token.access_token}"}
    me = f"{user.network_session.base_urls.base_url}/2.0/users/me"
    assert httpx.get(me, headers=headers).status_code == 401

    # Sent as `recursive=True`, capitalised.
    user.folders.delete_folder_by_id(folder.id, recursive=True)
    service.users.delete_user_by_id(created.id, force=True)
    with pytest.raises(BoxAPIError) as gone:
        service.users.get_user_by_id(created.id)
    assert gone.value.response_info.status_code == 404


def share(service: BoxClient, user: BoxClient, user_id: str) -> None:
    """A folder for a group, the group with a member, and its end for that member."""
    group = service.groups.create_group("Staff")
    member = service.memberships.create_group_membership(
        CreateGroupMembershipUser(id=user_id), CreateGroupMembershipGroup(id=group.id)
    )
    folder = service.folders.create_folder("Shared", CreateFolderParent(id="0"))
    service.user_collaborations.create_collaboration(
        CreateCollaborationItem(
            type=CreateCollaborationItemTypeField.FOLDER, id=folder.id
        ),
        CreateCollaborationAccessibleBy(
            type=CreateCollaborationAccessibleByTypeField.GROUP, id=group.id
        ),
        CreateCollaborationRole.VIEWER,
    )
    listed = user.folders.get_folder_items("0").entries
    assert listed is not None
    assert [entry.id for entry in listed] == [folder.id]
    assert member.id is not None
    service.memberships.delete_group_membership_by_id(member.id)
    assert user.folders.get_folder_items("0").entries == []


async def test_with_client_credentials(
    enterprise: Enterprise, client: Callable[[Any], BoxClient]
) -> None:
    app = enterprise.client_credentials()

    def client_for(enterprise: str | None = None, user: str | None = None) -> BoxClient:
        config = CCGConfig(
            client_id=app["client_id"],
            client_secret=app["client_secret"],
            enterprise_id=enterprise,
            user_id=user,
        )
        return client(BoxCCGAuth(config))

    service = client_for(enterprise=app["enterprise_id"])
    await run_in_threadpool(walk, service, lambda user: client_for(user=user))


async def test_with_the_written_config_file(
    enterprise: Enterprise, client: Callable[[Any], BoxClient], tmp_path: Path
) -> None:
    write_config(enterprise, tmp_path / "config.json")
    config = JWTConfig.from_config_file(str(tmp_path / "config.json"))
    auth = BoxJWTAuth(config)
    service = client(auth)
    await run_in_threadpool(
        walk, service, lambda user: client(auth.with_user_subject(user))
    )


async def test_sharing_with_a_group(
    enterprise: Enterprise, client: Callable[[Any], BoxClient], tmp_path: Path
) -> None:
    write_config(enterprise, tmp_path / "config.json")
    config = JWTConfig.from_config_file(str(tmp_path / "config.json"))
    auth = BoxJWTAuth(config)
    user_id = enterprise.add_user("Ada", None).id
    user = client(auth.with_user_subject(user_id))
    await run_in_threadpool(share, client(auth), user, user_id)
