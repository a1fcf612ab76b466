"""The outline of the commands: their names, options and help, without the code behind them.

Help and completion need no more than this, and importing what the commands run on takes a second. It is kept in
`outline.json`, which `python -m workers.schemas` writes from the commands themselves.
"""

import enum
import functools
import inspect
import json
import types
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, CommandInfo, OptionInfo, ParameterInfo

FILE = Path(__file__).with_name("outline.json")

_KINDS: dict[str, type] = {kind.__name__: kind for kind in (str, int, float, bool, Path, datetime)}
_INFO: dict[str, Callable[..., Any]] = {"option": typer.Option, "argument": typer.Argument}


def outlined(app: typer.Typer) -> dict[str, Any]:
    """The outline of an app, ready for JSON."""
    return {
        "help": app.info.help,
        "commands": {_name(command): _outlined_command(command) for command in app.registered_commands},
        "groups": {
            group.name: outlined(group.typer_instance)
            for group in app.registered_groups
            if group.name and group.typer_instance
        },
    }


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rollcall {version('rollcall')}")
        raise typer.Exit


def before_any(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What is done before any command."""


def _nothing() -> None:
    """Stands for what a group does before its command."""


def app_of(
    outline: dict[str, Any],
    run: Callable[[], None],
    only: str | None = None,
    before: Callable[..., None] = before_any,
    **options: Any,
) -> typer.Typer:
    """An app as outlined, whose every command calls `run`. If one command or group is named, of the others only the
    name and the help are there."""
    app = typer.Typer(help=outline["help"], **options)
    app.callback(help=outline["help"])(before)  # or the only command of a group would need no name
    for name, command in outline["commands"].items():
        parameters = command["parameters"] if only in {None, name} else []
        app.command(name, help=command["help"])(_function(parameters, run))
    for name, group in outline["groups"].items():
        inside = group if only in {None, name} else {**group, "commands": {}, "groups": {}}
        app.add_typer(app_of(inside, run, before=_nothing, no_args_is_help=True), name=name)
    return app


def read() -> dict[str, Any]:
    """The outline as it is kept."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def text(app: typer.Typer) -> str:
    """What belongs into `FILE`."""
    return json.dumps(outlined(app), indent=1, ensure_ascii=False) + "\n"


def _name(command: CommandInfo) -> str:
    if command.name:
        return command.name
    return command.callback.__name__.replace("_", "-") if command.callback else ""


def _outlined_command(command: CommandInfo) -> dict[str, Any]:
    function = command.callback or _nothing
    hints = get_type_hints(function, include_extras=True)
    return {
        "help": command.help or inspect.getdoc(function),
        "parameters": [
            _outlined_parameter(parameter, hints[name])
            for name, parameter in inspect.signature(function).parameters.items()
        ],
    }


def _outlined_parameter(parameter: inspect.Parameter, hint: Any) -> dict[str, Any]:
    kind, info = get_args(hint) if get_origin(hint) is Annotated else (hint, OptionInfo())
    of = "argument" if isinstance(info, ArgumentInfo) else "option"
    default = parameter.default
    return {
        "name": parameter.name,
        "of": of,
        **_outlined_kind(kind),
        **({} if default is parameter.empty else {"default": _plain(default)}),
        "said": _said(info, _INFO[of]()),
    }


def _said(info: ParameterInfo, unsaid: ParameterInfo) -> dict[str, Any]:
    """What is said of a parameter beyond what holds for all."""
    found = {k: v for k, v in vars(info).items() if v != vars(unsaid)[k]}
    if "default" in found:  # within Annotated, the first of its names
        found["default"] = [found["default"]]
    return found


def _outlined_kind(kind: Any) -> dict[str, Any]:
    """A parameter's type: its name, or its choices; whether it may be missing, and whether there may be several."""
    if get_origin(kind) in {Union, types.UnionType}:
        (inner,) = (one for one in get_args(kind) if one is not type(None))
        return {**_outlined_kind(inner), "optional": True}
    if get_origin(kind) is list:
        return {**_outlined_kind(get_args(kind)[0]), "several": True}
    if issubclass(kind, enum.Enum):
        return {"kind": [str(one.value) for one in kind]}
    if kind.__name__ not in _KINDS:
        raise TypeError(f"an outline cannot hold a parameter of type {kind.__name__}")
    return {"kind": kind.__name__}


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _kind(parameter: dict[str, Any]) -> Any:
    named = parameter["kind"]
    kind: Any = _KINDS[named] if isinstance(named, str) else _choices(tuple(named))
    if parameter.get("several"):
        kind = list[kind]
    return kind | None if parameter.get("optional") else kind


@functools.cache
def _choices(values: tuple[str, ...]) -> type[enum.StrEnum]:
    return enum.StrEnum("Choice", {f"C{number}": value for number, value in enumerate(values)})  # type: ignore[return-value]


def _function(parameters: list[dict[str, Any]], run: Callable[[], None]) -> Callable[..., None]:
    """A function with these parameters, which does nothing with them but call `run`."""

    def function(**_: Any) -> None:
        run()

    signature = []
    for it in parameters:
        said = dict(it["said"])
        names = [*said.pop("default", []), *said.pop("param_decls", [])]
        info = _INFO[it["of"]](*names, **said)
        kind = _kind(it)
        default = it.get("default", inspect.Parameter.empty)
        if isinstance(it["kind"], list) and isinstance(default, str):
            default = _choices(tuple(it["kind"]))(default)
        signature.append(
            inspect.Parameter(
                it["name"], inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
            )
        )
    function.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    function.__annotations__ = {one.name: one.annotation for one in signature}
    return function
