"""The app's config.json is read once, in every form it comes in, or named as wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import PrivateFormat

from sso_box_api.box import load_credentials
from sso_box_api.errors import ConfigurationError
from sso_box_api.settings import BoxSettings
from tests.support.box_script import (
    KEY,
    PASSPHRASE,
    Script,
    box_settings,
    client_over,
    config,
    pem,
    token,
)

AUTH = "boxAppSettings__appAuth"
TRADITIONAL = PrivateFormat.TraditionalOpenSSL


def problems(settings: BoxSettings) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_credentials(settings)
    return caught.value.problems


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {f"{AUTH}__privateKey": pem(TRADITIONAL)},
        {f"{AUTH}__privateKey": pem(passphrase=None)},
        {f"{AUTH}__privateKey": pem(passphrase=None), f"{AUTH}__passphrase": ...},
        {f"{AUTH}__privateKey": pem(TRADITIONAL, None), f"{AUTH}__passphrase": ""},
        {f"{AUTH}__privateKey": pem().replace("\n", "\\n")},
        {f"{AUTH}__privateKey": "\r\n" + pem().replace("\n", "\r\n")},
        {"enterpriseID": 4711},
    ],
    ids=[
        "encrypted PKCS#8",
        "encrypted traditional",
        "plain with a passphrase beside it",
        "plain without a passphrase",
        "plain traditional",
        "literal backslash n",
        "line ends of Windows",
        "enterprise as a number",
    ],
)
def test_every_form_of_a_good_config_is_read(changes: dict[str, Any]) -> None:
    credentials = load_credentials(box_settings(config(**changes)))
    assert (credentials.client_id, credentials.enterprise_id) == ("client-1", "4711")
    assert credentials.key_id == "abcd1234"
    assert credentials.private_key is not None
    assert credentials.private_key.private_numbers() == KEY.private_numbers()


def test_client_credentials_need_no_file() -> None:
    settings = BoxSettings.model_validate(
        {"client_id": "c", "client_secret": "hush-secret", "enterprise_id": "5"}
    )
    credentials = load_credentials(settings)
    assert (credentials.client_id, credentials.enterprise_id) == ("c", "5")
    assert credentials.client_secret == "hush-secret"
    assert credentials.private_key is None


# Too short on purpose.
SHORT = generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - as said
SMALL_KEY = pem(key=SHORT)
EC_KEY = pem(key=ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("boxAppSettings__clientID", ..., "is missing"),
        ("boxAppSettings__clientID", 7, "must be a text"),
        ("boxAppSettings__clientSecret", "", "is missing"),
        (f"{AUTH}__publicKeyID", ..., "is missing"),
        (f"{AUTH}__privateKey", ..., "is missing"),
        (f"{AUTH}__privateKey", "rubbish", "is not a private key in PEM form"),
        (f"{AUTH}__privateKey", SMALL_KEY, "must be RSA of 2048 bits"),
        (f"{AUTH}__privateKey", EC_KEY, "must be RSA of 2048 bits"),
        (f"{AUTH}__passphrase", ..., "is missing; the private key is encrypted"),
        (f"{AUTH}__passphrase", "wrong", "does not open"),
        ("enterpriseID", ..., "is missing"),
        ("enterpriseID", True, "must be a text"),
        ("enterpriseID", "0", "is 0"),
        ("enterpriseID", "12a", "must be digits"),
    ],
)
def test_each_wrong_field_is_named_by_its_path_alone(
    path: str, value: Any, said: str
) -> None:
    (problem,) = problems(box_settings(config(**{path: value})))
    where = path.replace("__", ".")
    assert problem.startswith(f"SSO_BOX_BOX__CONFIG: {where} {said}")


def test_a_download_without_key_material_names_all_that_is_missing() -> None:
    found = problems(box_settings(config(boxAppSettings__appAuth={})))
    assert [problem.split(";")[0].split(": ")[1] for problem in found] == [
        "boxAppSettings.appAuth.publicKeyID is missing",
        "boxAppSettings.appAuth.privateKey is missing",
    ]
    assert "SSO_BOX_BOX__CLIENT_ID" in found[0]


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '"x"'])
def test_a_text_that_is_no_json_object_is_named(text: str) -> None:
    (problem,) = problems(BoxSettings.model_validate({"config": text}))
    assert problem.startswith("SSO_BOX_BOX__CONFIG: is not a JSON object")


def test_a_file_is_read_even_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config()), encoding="utf-8-sig")
    settings = BoxSettings.model_validate({"config_file": file})
    assert load_credentials(settings).client_id == "client-1"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for file, said in [
        (tmp_path / "absent", "cannot be read (FileNotFoundError)"),
        (tmp_path, "cannot be read (IsADirectoryError)"),
        (binary, "is not a UTF-8 text file"),
    ]:
        (problem,) = problems(BoxSettings.model_validate({"config_file": file}))
        assert problem.startswith(f"SSO_BOX_BOX__CONFIG_FILE: {said}")


def test_settings_without_any_way_in_are_refused() -> None:
    (problem,) = problems(BoxSettings.model_construct())
    assert problem.startswith("SSO_BOX_BOX__CONFIG_FILE: is missing")


def test_no_secret_shows_in_a_repr_or_a_problem() -> None:
    shown = repr(load_credentials(box_settings()))
    assert "client-1" in shown
    damaged = pem()[:300] + "-----END ENCRYPTED PRIVATE KEY-----"
    shown += str(problems(box_settings(config(**{f"{AUTH}__privateKey": damaged}))))
    shown += str(problems(box_settings(config(**{f"{AUTH}__passphrase": "wr0ng"}))))
    for secret in ("hush", PASSPHRASE, "wr0ng", "BEGIN", pem()[100:120]):
        assert secret not in shown


async def test_the_file_and_its_key_are_read_once(
    tmp_path: Path, script: Script
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config()))
    settings = BoxSettings.model_validate({"config_file": file})
    client = client_over(script.transport, settings)
    file.unlink()
    minted = script.tokens(token())
    await client.user_token("1")
    await client.user_token("2")
    assert minted.call_count == 2


def test_a_private_key_is_opened_once_in_the_life_of_a_process() -> None:
    first, second = (load_credentials(box_settings()) for _ in range(2))
    assert first.private_key is second.private_key
