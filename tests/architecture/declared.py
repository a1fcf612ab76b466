"""What the capabilities say of themselves: their tables and SQL functions, each with its owner."""

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from sqlalchemy import Table

import tasks
from config import tables as foundation

ROOT = Path(tasks.__path__[0])

CAPABILITIES = sorted(file.parent.name for file in ROOT.glob("*/__init__.py"))


@cache
def owners() -> dict[str, str]:
    """The capability of each table."""
    return {
        thing.name: capability
        for capability, module in _modules().items()
        for thing in vars(module).values()
        if isinstance(thing, Table)
    }


def function_owners() -> dict[str, str | None]:
    """The capability of each SQL function; None where it is the foundation's."""
    found: dict[str, str | None] = dict.fromkeys(foundation.FUNCTIONS)
    for capability, module in _modules().items():
        found |= dict.fromkeys(getattr(module, "FUNCTIONS", {}), capability)
    return found


def _modules() -> dict[str, ModuleType]:
    """The `tables.py` of each capability that has one."""
    return {
        capability: importlib.import_module(f"tasks.{capability}.tables")
        for capability in CAPABILITIES
        if (ROOT / capability / "tables.py").exists()
    }
