"""What a test sees of the handlers of events, and does in their place; and what the database says of a row."""

from collections.abc import Callable, Sequence

import pytest

from tasks.events import Event
from tasks.intake import EventContext, handlers
from tests.world import World


def before_each(monkeypatch: pytest.MonkeyPatch, happens: Callable[[Sequence[Event]], None]) -> None:
    """Have something happen before events are given to their handler."""

    def wrapped(handle: handlers.Handler) -> handlers.Handler:
        def handling(context: EventContext, events: Sequence[Event]) -> None:
            happens(events)
            handle(context, events)

        return handling

    monkeypatch.setattr(handlers, "HANDLERS", {type_: wrapped(one) for type_, one in handlers.HANDLERS.items()})


def raises_for(world: World, table: str, column: str, states: Sequence[str]) -> None:
    """Have the database raise each of these for a row that names it; 57014 by a statement that is really cancelled."""
    world.execute(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.{column} = '57014' THEN
                PERFORM pg_cancel_backend(pg_backend_pid());
                PERFORM pg_sleep(60);
            ELSIF NEW.{column} = ANY ('{{{",".join(states)}}}') THEN
                RAISE EXCEPTION 'no' USING ERRCODE = NEW.{column};
            END IF;
            RETURN NEW;
        END $$
        """
    )
    world.execute(f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")
