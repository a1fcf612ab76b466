"""The customers of the platform: licence, pool, admins."""

from tasks.organisations.store import Organisation, find, numbered, reserve, save

__all__ = ["Organisation", "find", "numbered", "reserve", "save"]
