"""The customers of the platform: licence, pool, admins."""

from tasks.organisations.store import Organisation, every, find, lock, numbered, reserve, save

__all__ = ["Organisation", "every", "find", "lock", "numbered", "reserve", "save"]
