"""Which cell an organisation lives in: the directory, and what has left this cell."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.cells.routing import in_cell_of, in_cell_of_number, is_there, places_of
    from tasks.cells.store import (
        Cell,
        Elsewhere,
        Place,
        add_cell,
        begin_move,
        cells,
        check_here,
        depart,
        departed,
        emptied,
        end_move,
        events_since,
        every_place,
        finish_move,
        forget_departed,
        installation,
        lock_arrival,
        place,
        refresh_epoch,
        reserve,
        transactions,
        try_to_move,
        went_to,
    )
else:
    __getattr__ = lazily(__name__)
