"""Files that came through the API: kept until a worker has read them, with what became of them."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.uploads.store import (
        Upload,
        again,
        begin,
        blocks,
        drop,
        find,
        forget,
        lines_naming,
        newest,
        progressed,
        results_naming,
        settle,
        write,
    )
else:
    __getattr__ = lazily(__name__)
