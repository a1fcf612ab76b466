"""R34: one function says who may do what, by the table."""

import pytest

from tasks.accounts.rules import PERMISSIONS, Caller, Door, Role, Scope, permits, stored_organisations

OF_ACME = frozenset({"acme"})


def caller(role: Role, organisations: frozenset[str] | None = OF_ACME) -> Caller:
    return Caller("ann", Door.API, role, organisations)


def test_r34_each_role_may_do_what_those_before_it_may_and_more() -> None:
    may = [{act for act in PERMISSIONS if permits(caller(role), act, "acme")} for role in Role]

    assert may[0] < may[1] < may[2] == {*PERMISSIONS}


@pytest.mark.parametrize("role", Role)
def test_r34_nobody_acts_on_what_is_not_theirs_whatever_the_role(role: Role) -> None:
    about_one = {act for act, permission in PERMISSIONS.items() if permission.scope is Scope.ORGANISATION}

    assert about_one
    for organisations, organisation in (
        (OF_ACME, "borealis"),
        (frozenset[str](), "acme"),
        (OF_ACME, None),
        (None, None),
    ):
        assert [act for act in about_one if permits(caller(role, organisations), act, organisation)] == []


def test_r34_an_operator_acts_on_every_organisation() -> None:
    assert all(permits(caller(Role.OPERATOR, None), act, "whichever") for act in PERMISSIONS)


def test_r34_what_is_not_in_the_table_nobody_may_do() -> None:
    with pytest.raises(KeyError):
        permits(caller(Role.OPERATOR, None), "learners.sell", "acme")


def test_r34_an_operators_organisations_are_all_and_others_are_stored_once_each() -> None:
    assert stored_organisations(Role.OPERATOR, ["acme"]) is None
    assert stored_organisations(Role.ADMIN, ["borealis", "acme", "borealis"]) == ["acme", "borealis"]
