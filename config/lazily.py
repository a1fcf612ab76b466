"""The façade of a capability, whose parts are imported when they are first asked for (PEP 562)."""

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any


def lazily(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package: what its source imports for type checkers alone is imported at the first use.

    So a command imports the modules it uses, and not whole capabilities with what they need to send mail or to read
    files. A name must not be that of a module of the package as well: what was imported first would decide which it is.
    """

    @cache
    def homes() -> dict[str, str]:
        source = Path(sys.modules[package].__file__ or "").read_text(encoding="utf-8")
        found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module]
        return {alias.asname or alias.name: f"{node.module}:{alias.name}" for node in found for alias in node.names}

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(homes())
        if name.startswith("__") or name not in homes():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, original = homes()[name].partition(":")
        value = getattr(import_module(module), original)
        setattr(sys.modules[package], name, value)
        return value

    return get
