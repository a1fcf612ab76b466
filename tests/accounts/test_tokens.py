"""R34: a token lets a program in as what it was made for, and says so in the audit log; it is kept nowhere."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.database import transaction
from config.errors import Conflict, Invalid, NotFound
from tasks import accounts
from tasks.accounts import Caller, Door, Role
from tasks.accounts.secret import ALPHABET, SECRET_LENGTH, checksum, is_token, new_token
from tasks.acts import accounts as acts
from tasks.acts.acting import perform
from tests.accounts.statements import asked_of
from tests.isolation.conftest import Rollcall, rollcall
from tests.world import World

__all__ = ["rollcall"]  # a fixture

ROOT = Caller("root", Door.COMMAND, Role.OPERATOR)


def add(world: World, name: str = "ci", role: Role = Role.ADMIN, *of: str, expires: datetime | None = None) -> str:
    """Make a token; its text."""
    asked = acts.NewToken(name, role, list(of) or ([] if role is Role.OPERATOR else ["acme"]), expires)
    return perform(world.runtime, ROOT, acts.add_token, asked).token


def caller(world: World, token: str) -> Caller | None:
    with transaction(world.runtime.engine) as connection:
        return accounts.caller_of_token(connection, token, "192.0.2.1")


@given(st.text(ALPHABET, min_size=SECRET_LENGTH, max_size=SECRET_LENGTH))
def test_a_scanner_can_tell_a_token_by_its_prefix_and_checksum(secret: str) -> None:
    digits = [ALPHABET.index(one) for one in checksum(secret)]
    number = sum(digit * 62**place for place, digit in enumerate(reversed(digits)))

    assert number == crc32(secret.encode())
    assert is_token(f"rck_{secret}{checksum(secret)}")


def test_a_token_is_of_256_bits_and_no_two_are_the_same() -> None:
    made = {new_token() for _ in range(100)}

    assert 62**SECRET_LENGTH > 2**256
    assert len(made) == 100
    assert all(map(is_token, made))


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "0", lambda t: t[::-1], str.lower, lambda t: " " + t]
)
def test_what_is_no_token_is_not_looked_up(change: Callable[[str], str], world: World) -> None:
    token = "rck_" + "A" * SECRET_LENGTH + checksum("A" * SECRET_LENGTH)

    with asked_of(world.runtime.engine) as asked, transaction(world.runtime.engine) as connection:
        assert accounts.caller_of_token(connection, change(token), None) is None

    assert asked == []


def test_r34_a_token_lets_in_as_what_it_was_made_for(world: World) -> None:
    admin = add(world)
    operator = add(world, "ops", Role.OPERATOR)

    assert caller(world, admin) == Caller("ci", Door.API, Role.ADMIN, frozenset({"acme"}), "192.0.2.1")
    assert caller(world, operator) == Caller("ops", Door.API, Role.OPERATOR, None, "192.0.2.1")
    assert caller(world, new_token()) is None


def test_r34_a_token_that_is_revoked_or_expired_lets_nobody_in(world: World) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    revoked, expires = add(world), add(world, "brief", expires=soon)
    assert caller(world, expires) is not None

    perform(world.runtime, ROOT, acts.revoke_token, acts.OneToken("ci"))
    world.execute("UPDATE tokens SET expires_at = now() WHERE name = 'brief'")

    assert caller(world, revoked) is None
    assert caller(world, expires) is None
    with pytest.raises(NotFound):
        perform(world.runtime, ROOT, acts.revoke_token, acts.OneToken("ci"))


def test_a_name_can_be_given_again_once_its_token_is_revoked(world: World) -> None:
    first = add(world)
    with pytest.raises(Conflict):
        add(world)
    perform(world.runtime, ROOT, acts.revoke_token, acts.OneToken("ci"))

    second = add(world)

    assert (caller(world, first), caller(world, second) is not None) == (None, True)


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        (acts.NewToken("", Role.ADMIN, ["acme"]), "/name"),
        (acts.NewToken("a@b.example", Role.ADMIN, ["acme"]), "/name"),
        (acts.NewToken("ci", Role.ADMIN, []), "/organisations"),
        (acts.NewToken("ci", Role.OPERATOR, ["acme"]), "/organisations"),
        (acts.NewToken("ci", Role.READER, ["acme", "nowhere"]), "/organisations"),
        (acts.NewToken("ci", Role.ADMIN, ["acme"], datetime(2020, 1, 1, tzinfo=UTC)), "/expires_at"),
    ],
)
def test_what_cannot_be_meant_makes_no_token(world: World, asked: acts.NewToken, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        perform(world.runtime, ROOT, acts.add_token, asked)

    assert [error.pointer for error in refused.value.errors] == [pointer]
    assert world.ask("SELECT count(*) FROM tokens") == 0


def test_a_token_is_looked_up_by_one_statement_and_one_index(world: World) -> None:
    token = add(world)
    with asked_of(world.runtime.engine) as asked, transaction(world.runtime.engine) as connection:
        accounts.caller_of_token(connection, token, None)
    with world.runtime.engine.connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        plan = connection.exec_driver_sql("EXPLAIN SELECT 1 FROM tokens WHERE hash = '\\x00' AND revoked_at IS NULL")
        assert "tokens_hash_key" in " ".join(plan.scalars())

    assert len(asked) == 1


def test_the_last_use_is_written_once_for_many_and_not_while_somebody_waits(world: World) -> None:
    token, uses = add(world), accounts.TokenUses()
    with asked_of(world.runtime.engine) as asked:
        for _ in range(100):
            uses.note(token)
    assert asked == []

    with transaction(world.runtime.engine) as connection:
        assert (uses.write(connection), uses.write(connection)) == (1, 0)
        (found,) = accounts.tokens_after(connection, 0, 10)

    assert found.used_at is not None


def test_tokens_are_made_listed_and_revoked_by_commands(world: World, rollcall: Rollcall) -> None:
    added = json.loads(
        rollcall("tokens", "add", "ci", "--role", "reader", "-o", "acme", "--expires", "90d", "--json").stdout
    )
    shown = rollcall("tokens", "add", "ops", "--role", "operator").stdout
    listed = json.loads(rollcall("tokens", "list", "--json").stdout)
    for_people = rollcall("tokens", "list").stdout
    revoked = json.loads(rollcall("tokens", "revoke", "ci", "--json").stdout)

    assert is_token(added["token"])
    assert is_token(shown.split()[-1])
    assert [(one["name"], one["role"], one["organisations"]) for one in listed] == [
        ("ci", "reader", ["acme"]),
        ("ops", "operator", []),
    ]
    assert not any(token in for_people + json.dumps(listed) for token in (added["token"], shown.split()[-1]))
    assert revoked == {"name": "ci"}
    assert "revoked" in rollcall("tokens", "list").stdout
    assert caller(world, added["token"]) is None


def test_a_token_expires_at_a_time_with_any_offset_which_is_told_in_utc(world: World, rollcall: Rollcall) -> None:
    expires = ("tokens", "add", "ci", "--role", "operator", "--expires")

    told = rollcall(*expires, "2100-01-01T01:00:00+02:00").stdout
    refused = rollcall(*expires, "9999-12-31T23:00:00-14:00")

    assert "until 2099-12-31 23:00:00 UTC" in told
    assert refused.exit_code == 2
    assert "it is a time with an offset" in " ".join(refused.stderr.replace("│", "").split())


def test_r34_what_is_done_with_tokens_is_written_down_and_no_secret_with_it(world: World) -> None:
    token = add(world)
    perform(world.runtime, ROOT, acts.revoke_token, acts.OneToken("ci"))
    with pytest.raises(NotFound):
        perform(world.runtime, ROOT, acts.revoke_token, acts.OneToken("ci"))

    written = world.rows("SELECT who, act, subject, outcome FROM audit ORDER BY at, id")
    kept = world.list(
        "SELECT CAST(to_jsonb(a) AS text) FROM audit a UNION ALL SELECT CAST(to_jsonb(t) AS text) FROM tokens t"
    )

    assert written == [
        ("root", "tokens.add", "ci", "done"),
        ("root", "tokens.revoke", "ci", "done"),
        ("root", "tokens.revoke", None, "refused: NotFound"),
    ]
    assert not any(token[4:-6] in row for row in kept)
