"""The customers of the platform: licence, pool, admins."""

from tasks.organisations.store import Organisation, busy, every, find, numbered, reserve, save

__all__ = ["Organisation", "busy", "every", "find", "numbered", "reserve", "save"]
