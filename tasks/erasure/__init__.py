"""What is left of a learner who was erased, looked for everywhere: tables, payloads and both streams (S15, R35)."""

from tasks.erasure.actors import look
from tasks.erasure.store import begin

__all__ = ["begin", "look"]
