"""An admin's mailing, from draft to finished."""

from tasks.announcements.actors import NotAllowed, Progress, finish_mailings, launch, move, progress
from tasks.announcements.intake import audience_document, requested
from tasks.announcements.store import Announcement, create, find, hold_work, listed, resume_work

__all__ = [
    "Announcement",
    "NotAllowed",
    "Progress",
    "audience_document",
    "create",
    "find",
    "finish_mailings",
    "hold_work",
    "launch",
    "listed",
    "move",
    "progress",
    "requested",
    "resume_work",
]
