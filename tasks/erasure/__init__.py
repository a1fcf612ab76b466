"""What is left of a learner who was erased, looked for everywhere: tables, payloads and both streams (S15, R35)."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.erasure.actors import erase
    from tasks.erasure.store import begin
else:
    __getattr__ = lazily(__name__)
