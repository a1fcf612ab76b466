"""What a test sees of the handlers of events, and does in their place."""

from collections.abc import Callable, Sequence

import pytest

from tasks.events import Event
from tasks.intake import EventContext, handlers


def before_each(monkeypatch: pytest.MonkeyPatch, happens: Callable[[Sequence[Event]], None]) -> None:
    """Have something happen before events are given to their handler."""

    def wrapped(handle: handlers.Handler) -> handlers.Handler:
        def handling(context: EventContext, events: Sequence[Event]) -> None:
            happens(events)
            handle(context, events)

        return handling

    monkeypatch.setattr(handlers, "HANDLERS", {type_: wrapped(one) for type_, one in handlers.HANDLERS.items()})
