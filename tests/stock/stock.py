# SPDX-License-Identifier: MIT OR Apache-2.0
"""Mosquittos as people have them, and set-ups of their access control."""

import base64
import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess

# Each a version that mosquitto.sh builds, or a folder with a `mosquitto` (and its
# mosquitto_dynamic_security.so).
OLD = tuple(os.environ.get("P2PANDA_STOCK", "2.0.11 2.0.21").split())
NEW = "2.1"  # the system's

NOT_AUTHORISED, QUOTA = 0x87, 0x97


@dataclasses.dataclass(frozen=True)
class Stock:
    name: str
    program: str | None  # None: the system's
    folders: tuple[pathlib.Path, ...]  # where its plugins are

    @property
    def is_old(self) -> bool:
        return self.program is not None

    @property
    def dynamic_security(self) -> pathlib.Path:
        name = "mosquitto_dynamic_security.so"
        for folder in self.folders:
            for pattern in (name, f"*/{name}", f"*/*/{name}"):
                for path in folder.glob(pattern):
                    return path
        raise RuntimeError(f"{self.name}: there is no {name}")


def find(name: str) -> Stock:
    if name == NEW:
        return Stock(name, None, (pathlib.Path("/usr/lib"), pathlib.Path("/usr/local/lib")))
    if "/" in name:
        folder = pathlib.Path(name)
    else:
        script = pathlib.Path(__file__).with_name("mosquitto.sh")
        done = subprocess.run([str(script), name], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        folder = pathlib.Path(done.stdout.strip())
    return Stock(folder.name, str(folder / "mosquitto"), (folder,))


def _hashed(password: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101, 64)


def password_file(path: pathlib.Path, users: dict[str, str]) -> pathlib.Path:
    """In the form that both versions read."""
    salt = b"twelve bytes"
    code = base64.b64encode
    path.write_text(
        "".join(
            f"{name}:$7$101${code(salt).decode()}${code(_hashed(password, salt)).decode()}\n"
            for name, password in users.items()
        )
    )
    path.chmod(0o600)
    return path


def rule(kind: str, topic: str, allow: bool = True) -> dict:
    return {"acltype": kind, "topic": topic, "allow": allow, "priority": 0}


def security_file(
    path: pathlib.Path,
    users: dict[str, str],
    rules: list[dict],
    default: tuple[str, ...] = ("publishClientReceive", "unsubscribe"),
) -> pathlib.Path:
    """Of dynamic-security: the rules are for everybody, and for who has no name; default: what is
    allowed where no rule says anything."""
    salt = b"twelve bytes"
    code = base64.b64encode
    kinds = ("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe")
    config = {
        "defaultACLAccess": {kind: kind in default for kind in kinds},
        "clients": [
            {
                "username": name,
                "password": code(_hashed(password, salt)).decode(),
                "salt": code(salt).decode(),
                "iterations": 101,
                "roles": [{"rolename": "some"}],
            }
            for name, password in users.items()
        ],
        "groups": [{"groupname": "nameless", "roles": [{"rolename": "some"}]}],
        "roles": [{"rolename": "some", "acls": rules}],
        "anonymousGroup": "nameless",
    }
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return path
