"""Who is calling: headers, roles, and what is remembered for how long."""

from __future__ import annotations

import pytest

from queryfleet.errors import AuthorizationError, ForbiddenError, NotFoundError
from serve_app.accounts import Account, Accounts, canonical_uuid, token_hash, token_of

PROJECT = "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11"
OTHER = "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c12"


class Tokens:
    """A status store that knows tokens only, and counts how often it is asked."""

    def __init__(self, **roles):
        self.rows = {
            token_hash(token): {
                "token_uuid": token,
                "user_uuid": f"user of {token}",
                "email": f"{token}@example.com",
                "roles": {PROJECT: role},
                "attributes": {PROJECT: {"role": [role]}},
            }
            for token, role in roles.items()
        }
        self.asked = 0

    async def load_token(self, digest):
        self.asked += 1
        return self.rows.get(digest)


class Clock:
    """Seconds that stand still until told."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    "header",
    ["ApiKey secret", "apikey secret", "Bearer secret", "BEARER secret", "  ApiKey   secret  "],
)
def test_token_of_either_scheme_is_the_token(header):
    """Both schemes are understood, in any case, with spaces around."""
    assert token_of(header) == "secret"


@pytest.mark.parametrize(
    "header", [None, "", "secret", "Basic secret", "ApiKey", "ApiKey ", "ApiKey a b", "Bearer\tsecret"]
)
def test_token_of_anything_else_is_refused_without_repeating_it(header):
    """What is no token is refused, and the message does not show it."""
    with pytest.raises(AuthorizationError) as caught:
        token_of(header)
    assert "secret" not in caught.value.message


def test_token_hash_is_no_token():
    """What is stored does not contain the token, and differs for each."""
    assert b"secret" not in token_hash("secret")
    assert token_hash("secret") != token_hash("secret2")
    assert len(token_hash("secret")) == 32


@pytest.mark.parametrize("text", [PROJECT, PROJECT.upper()])
def test_canonical_uuid_of_a_uuid_is_lower_case(text):
    """Case does not matter."""
    assert canonical_uuid(text) == PROJECT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        PROJECT[:-1],
        PROJECT + "0",
        "{" + PROJECT + "}",
        "urn:uuid:" + PROJECT,
        PROJECT.replace("-", ""),
        PROJECT.replace("-", "", 1) + "-",
        "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c1_",
        "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c1\u0661",
        "\x00" * 36,
        "' or 1=1 --",
    ],
)
def test_canonical_uuid_of_anything_else_is_none(text):
    """Only the usual spelling is a uuid, so that one thing has one name."""
    assert canonical_uuid(text) is None


def test_enter_a_project_without_a_role_looks_like_no_project():
    """Projects of others and projects that do not exist cannot be told apart."""
    account = Account(token_uuid="t", user_uuid="u", roles={PROJECT: "viewer"})
    assert account.enter(PROJECT.upper()) == PROJECT
    messages = set()
    for name in (OTHER, "nonsense"):
        with pytest.raises(NotFoundError) as caught:
            account.enter(name)
        messages.add(caught.value.message)
    assert len(messages) == 1


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("editor", True), ("admin", True)])
def test_require_sql_needs_editor_or_admin(role, may):
    """A viewer may not run SQL of their own."""
    account = Account(token_uuid="t", user_uuid="u", roles={PROJECT: role})
    if may:
        account.require_sql(PROJECT)
    else:
        with pytest.raises(ForbiddenError) as caught:
            account.require_sql(PROJECT)
        assert caught.value.details == {"role": "viewer"}


@pytest.mark.anyio
async def test_accounts_remember_a_token_for_a_few_seconds():
    """Polls within the time cost no read; a token that ended is refused after it."""
    tokens, clock = Tokens(secret="viewer"), Clock()
    accounts = Accounts(tokens, clock=clock)
    first = await accounts.of("ApiKey secret")
    clock.now = 4.9
    assert await accounts.of("Bearer secret") is first
    assert tokens.asked == 1
    tokens.rows.clear()
    clock.now = 5.0
    with pytest.raises(AuthorizationError):
        await accounts.of("ApiKey secret")
    assert tokens.asked == 2


@pytest.mark.anyio
async def test_accounts_do_not_remember_what_is_unknown():
    """A token that is made now works now."""
    tokens = Tokens()
    accounts = Accounts(tokens, clock=Clock())
    with pytest.raises(AuthorizationError, match="unknown, expired or revoked"):
        await accounts.of("ApiKey secret")
    tokens.rows = Tokens(secret="viewer").rows
    assert (await accounts.of("ApiKey secret")).roles == {PROJECT: "viewer"}


@pytest.mark.anyio
async def test_accounts_remember_a_bounded_number(monkeypatch):
    """However many tokens call, memory stays bounded, and the oldest is forgotten first."""
    monkeypatch.setattr("serve_app.accounts._REMEMBER_ACCOUNTS", 2)
    tokens = Tokens(a="viewer", b="viewer", c="viewer")
    accounts = Accounts(tokens, clock=Clock())
    for token in ("a", "b", "c", "c", "b", "a"):
        await accounts.of(f"ApiKey {token}")
    assert tokens.asked == 4
