"""Who may log in at the Snowflake stub, by each of the four ways."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ACCOUNT, USER, PASSWORD = "QFTEST", "READER", "right-password"
PAT, OAUTH = "right-programmatic-token", "right-oauth-token"
DATABASES, ROLES, WAREHOUSES = ("SHOP",), ("ANALYST",), ("REPORTING",)
KEY_VARIABLE = "SNOWFLAKE_STUB_KEY"  # tells the server's process the key its tests sign with
REFUSED = "390100", "Incorrect username or password was specified."


def _login_key() -> rsa.RSAPrivateKey:
    given = os.environ.get(KEY_VARIABLE)
    if given is None:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = serialization.load_pem_private_key(given.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


LOGIN_KEY = _login_key()


def private_key_pem(passphrase: str | None = None) -> str:
    """Return the key of the user `READER`, encrypted if a passphrase is given."""
    how = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    return LOGIN_KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


def check_login(data: dict[str, Any], parameters: dict[str, str]) -> tuple[str, str] | None:
    """Return why a login is refused, as code and message; None when it is not."""
    how = (data.get("AUTHENTICATOR") or "SNOWFLAKE").upper()
    refusal = _check_proof(how, data)
    if refusal is not None:
        return refusal
    role, database = parameters.get("roleName"), parameters.get("databaseName")
    warehouse = parameters.get("warehouse")
    if role is not None and role.upper() not in ROLES:
        return "390189", f"Role '{role}' specified in the connect string does not exist or not authorized."
    if database is not None and database.upper() not in DATABASES:
        return "390201", f"The requested database does not exist or not authorized: {database}"
    validates = (data.get("SESSION_PARAMETERS") or {}).get("CLIENT_VALIDATE_DEFAULT_PARAMETERS")
    if validates and warehouse is not None and warehouse.upper() not in WAREHOUSES:
        return "390201", f"The requested warehouse does not exist or not authorized: {warehouse}"
    return None


def _check_proof(how: str, data: dict[str, Any]) -> tuple[str, str] | None:
    user, token = str(data.get("LOGIN_NAME", "")).upper(), data.get("TOKEN")
    if how == "OAUTH":
        return None if token == OAUTH else ("390303", "Invalid OAuth access token.")
    if user != USER:
        return REFUSED
    if how == "PROGRAMMATIC_ACCESS_TOKEN":
        return None if token == PAT else ("394400", "Programmatic access token is invalid.")
    if how == "SNOWFLAKE_JWT":
        return None if _is_right_jwt(str(token)) else ("390144", "JWT token is invalid.")
    return None if data.get("PASSWORD") == PASSWORD else REFUSED


def _is_right_jwt(token: str) -> bool:
    """Tell whether a token is signed by the user's key and names the account, the user and that key."""
    head, claims, signature = token.split(".")
    public = LOGIN_KEY.public_key()
    public.verify(_decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    print_ = "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()
    said = json.loads(_decoded(claims))
    names = said["sub"] == f"{ACCOUNT}.{USER}" and said["iss"] == f"{ACCOUNT}.{USER}.{print_}"
    return bool(names and said["exp"] > time.time())


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
