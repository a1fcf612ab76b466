"""How everything stands: what is due, on its way and set aside, and who reads the streams."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.system.advice import TARGETS, THREADS, PoolAdvice, advise
    from tasks.system.flows import forget_samples, keep, positions, samples
    from tasks.system.readers import (
        GroupStanding,
        StreamId,
        StreamStanding,
        is_ingress_stalled,
        observe,
        remember,
        restore,
        trim,
        unread,
    )
    from tasks.system.rules import Flow, FlowSample, is_idle
    from tasks.system.standing import (
        InDatabase,
        InRedis,
        SystemState,
        in_database,
        in_redis,
        is_relay_stalled,
        streams,
        system_state,
    )
    from tasks.system.statistics import analyze_grown
else:
    __getattr__ = lazily(__name__)
