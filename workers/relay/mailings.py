"""Finishes mailings of which no piece of work is left, and says how an announcement ended."""

from tasks import mail
from tasks.announcements import finish_mailings
from workers.relay.chore import ForEverybody


class FinishMailings(ForEverybody):
    """Finishes mailings. Where a fan-out has ended, so may have its notices."""

    name = "finish mailings"
    seconds = 2.5
    news = frozenset({"mailings", "fanouts"})
    all_of_it = staticmethod(finish_mailings)
    any_of_it = staticmethod(mail.are_open)
