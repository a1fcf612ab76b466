"""The customers of the platform: licence, pool, admins."""

from tasks.organisations.store import Organisation, find, numbered, save

__all__ = ["Organisation", "find", "numbered", "save"]
