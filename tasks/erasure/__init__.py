"""What is kept of a learner, looked for everywhere: to be shown to them, or removed when they are erased (S15, R35)."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.erasure.actors import erase
    from tasks.erasure.documents import document
    from tasks.erasure.store import begin
else:
    __getattr__ = lazily(__name__)
