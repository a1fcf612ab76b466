"""Who may do what: one table, role by act by scope, and the one function that every door asks."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody is trusted with; each may do what those before it may, where it may do it."""

    READER = "reader"
    ADMIN = "admin"
    OPERATOR = "operator"


class Scope(StrEnum):
    """What an act is about."""

    OWN = "own"  # the caller alone: what they may see of anything
    ORGANISATION = "organisation"
    SYSTEM = "system"  # the installation, or all organisations at once


class Door(StrEnum):
    """The way through which somebody acts."""

    COMMAND = "command"
    API = "api"
    CONSOLE = "console"
    SCIM = "scim"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who acts. `organisations`: the ids of those whose they are; None: every one, as an operator is."""

    who: str
    door: Door
    role: Role
    organisations: frozenset[str] | None = None
    address: str | None = None

    def sees(self, organisation: str) -> bool:
        """Whether this organisation, which need not be there, is one of the caller's."""
        return self.organisations is None or organisation in self.organisations


def stored_organisations(role: Role, ids: Iterable[str]) -> list[str] | None:
    """The organisations of somebody as they are stored: null for an operator, whose all are."""
    return None if role is Role.OPERATOR else sorted(set(ids))


@dataclass(frozen=True, slots=True)
class Permission:
    """The least role that may do an act, and what the act is about."""

    role: Role
    scope: Scope = Scope.ORGANISATION


_READER, _ADMIN = Permission(Role.READER), Permission(Role.ADMIN)
_OWN = Permission(Role.READER, Scope.OWN)
_OPERATOR = Permission(Role.OPERATOR, Scope.SYSTEM)

#: Every act by its name: there is no other.
PERMISSIONS = {
    "access.ask": _READER,
    "access.ask_many": _READER,
    "announcements.cancel": _ADMIN,
    "announcements.create": _ADMIN,
    "announcements.delete": _ADMIN,
    "announcements.edit": _ADMIN,
    "announcements.launch": _ADMIN,
    "announcements.export": _READER,
    "announcements.list": _READER,
    "announcements.pause": _ADMIN,
    "announcements.preview": _READER,
    "announcements.ready": _READER,
    "announcements.recipients": _READER,
    "announcements.resume": _ADMIN,
    "announcements.retry": _ADMIN,
    "announcements.schedule": _ADMIN,
    "announcements.see": _READER,
    "announcements.settle": _ADMIN,
    "announcements.show": _READER,
    "announcements.test": _ADMIN,
    "announcements.unschedule": _ADMIN,
    "audit.all": _OPERATOR,
    "audit.export": _ADMIN,
    "audit.export_all": _OPERATOR,
    "audit.list": _ADMIN,
    "accounts.add": _OPERATOR,
    "accounts.disable": _OPERATOR,
    "accounts.list": _OPERATOR,
    "accounts.password": _OPERATOR,
    "accounts.revoke_tokens": _OPERATOR,
    "accounts.sessions": _OPERATOR,
    "accounts.sign_out": _OPERATOR,
    "accounts.totp": _OPERATOR,
    "courses.enrolments": _READER,
    "courses.list": _READER,
    "courses.method": _ADMIN,
    "courses.preview": _READER,
    "courses.show": _READER,
    "enrolments.request": _ADMIN,
    "enrolments.running": _READER,
    "enrolments.show": _READER,
    "enrolments.withdraw": _ADMIN,
    "events.decided": _READER,
    "events.discard": _ADMIN,
    "events.discard_many": _ADMIN,
    "events.quarantined": _READER,
    "events.release": _ADMIN,
    "events.release_many": _ADMIN,
    "events.replay": _ADMIN,
    "events.replays": _READER,
    "imports.again": _ADMIN,
    "imports.list": _READER,
    "imports.refused": _READER,
    "imports.run": _ADMIN,
    "imports.show": _READER,
    "learners.activate": _ADMIN,
    "learners.counts": _READER,
    "learners.deactivate": _ADMIN,
    "learners.explain": _READER,
    "learners.export": _ADMIN,
    "learners.list": _READER,
    "learners.preview": _READER,
    "learners.show": _READER,
    "learners.status": _ADMIN,
    "learners.subscription": _ADMIN,
    "mail.check": _OPERATOR,
    "mail.pause": _OPERATOR,
    "mail.resume": _OPERATOR,
    "mail.retry": _ADMIN,
    "mail.sent_since": _OPERATOR,
    "mail.show": _OWN,
    "organisations.list": _OWN,
    "reports.analytics": _READER,
    "reports.archived": _READER,
    "reports.by_course": _READER,
    "reports.by_segment": _READER,
    "reports.history": _READER,
    "reports.summary": _READER,
    "reports.training": _READER,
    "seats.explain": _READER,
    "seats.export": _READER,
    "seats.ledger": _READER,
    "seats.reviewed": _ADMIN,
    "seats.reviewed_many": _ADMIN,
    "seats.show": _READER,
    "seats.use": _READER,
    "segments.counts": _READER,
    "segments.join": _ADMIN,
    "segments.leave": _ADMIN,
    "segments.list": _READER,
    "segments.save": _ADMIN,
    "segments.show": _READER,
    "sessions.end_one": _OWN,
    "sessions.end_others": _OWN,
    "sessions.list": _OWN,
    "suppressions.add": _ADMIN,
    "suppressions.export": _READER,
    "suppressions.list": _READER,
    "suppressions.remove": _ADMIN,
    "system.events.decided": _OPERATOR,
    "system.events.discard_many": _OPERATOR,
    "system.events.quarantined": _OPERATOR,
    "system.events.release_many": _OPERATOR,
    "system.events.replay": _OPERATOR,
    "system.events.replays": _OPERATOR,
    "system.fanouts": _OPERATOR,
    "system.mailings": _OPERATOR,
    "system.advise": _OPERATOR,
    "system.samples": _OPERATOR,
    "system.show": _OPERATOR,
    "system.pause": _OPERATOR,
    "system.resume": _OPERATOR,
    "system.webhooks.add": _OPERATOR,
    "system.webhooks.disable": _OPERATOR,
    "system.webhooks.enable": _OPERATOR,
    "system.webhooks.list": _OPERATOR,
    "system.webhooks.log": _OPERATOR,
    "system.webhooks.remove": _OPERATOR,
    "system.webhooks.rotate": _OPERATOR,
    "system.webhooks.show": _OPERATOR,
    "system.webhooks.test": _OPERATOR,
    "templates.list": _OWN,
    "templates.render": _READER,
    "templates.sample": _OWN,
    "tokens.add": _OPERATOR,
    "tokens.list": _OPERATOR,
    "tokens.revoke": _OPERATOR,
    "webhooks.add": _ADMIN,
    "webhooks.disable": _ADMIN,
    "webhooks.enable": _ADMIN,
    "webhooks.list": _READER,
    "webhooks.log": _READER,
    "webhooks.remove": _ADMIN,
    "webhooks.rotate": _ADMIN,
    "webhooks.show": _READER,
    "webhooks.test": _ADMIN,
    "work.discard": _OPERATOR,
    "work.discard_many": _OPERATOR,
    "work.failing": _OPERATOR,
    "work.pause": _OPERATOR,
    "work.resume": _OPERATOR,
    "work.retry": _OPERATOR,
    "work.retry_many": _OPERATOR,
}


_RANKS = {role: rank for rank, role in enumerate(Role)}


def permits(caller: Caller, act: str, organisation: str | None = None) -> bool:
    """Whether this caller may do this act, of this organisation if the act is about one."""
    permission = PERMISSIONS[act]
    high = _RANKS[caller.role] >= _RANKS[permission.role]
    if permission.scope is not Scope.ORGANISATION:
        return high
    return high and organisation is not None and caller.sees(organisation)
