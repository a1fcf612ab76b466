"""The customers of the platform: licence, pool, admins."""

from tasks.organisations.store import Organisation, every, find, numbered, reserve, save

__all__ = ["Organisation", "every", "find", "numbered", "reserve", "save"]
