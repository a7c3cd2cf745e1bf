"""The command line of the tools: flags, their help, and what becomes of errors. Nothing heavy is imported here."""

import ast
import dataclasses
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags

from ssl_keras import console, files, methods, startup
from ssl_keras.config import Config, settings
from ssl_keras.data import sources
from ssl_keras.errors import UserError
from ssl_keras.interrupts import AGAIN, Interrupted
from ssl_keras.registry import Registry
from ssl_keras.settings import GROUPS, kind_of
from ssl_keras.words import nearest, shown

HELP = ("--help", "-help", "-h", "--helpshort")
WIDTH, COLUMN = 112, 34
DEFINE = {
    "str": flags.DEFINE_string,
    "int": flags.DEFINE_integer,
    "float": flags.DEFINE_float,
    "bool": flags.DEFINE_bool,
}

flags.DEFINE_bool("debug", False, "show the traceback of every error, also of a mistake in the settings")

_options: dict[str, list[str]] = {}  # names of flags that `define_options` has defined, by the title of their group


class _Parser(flags.ArgumentParser):
    """Reads a flag by a function of its text."""

    syntactic_help = ""

    def __init__(self, read: Callable[[str], str]):
        super().__init__()
        self.parse = read


def define(names: Sequence[str] | None = None) -> None:
    """Defines the flags of `Config`: all, or the named ones."""
    for field in dataclasses.fields(Config):
        if names is not None and field.name not in names:
            continue
        known, kind = settings()[field.name], kind_of(field)
        if field.name == "probe_data":
            flags.DEFINE_multi(_Parser(sources.absolute), flags.ArgumentSerializer(), field.name, [], known.text)
        elif kind is tuple:
            flags.DEFINE_multi_string(field.name, [], known.text)
        elif known.path:
            define_path(field.name, field.default, known.text)
        elif field.name == "data":
            flags.DEFINE(_Parser(sources.absolute), field.name, field.default, known.text)
        elif known.choices:
            flags.DEFINE_enum(field.name, field.default, known.choices, known.text)
        else:
            DEFINE[kind.__name__](field.name, field.default, known.text)


def define_options(chosen_by: str, registry: Registry) -> None:
    """Defines a flag --NAME_FIELD for each option of each module of a registry.

    Args:
        chosen_by: the flag that names the module, for the help.
    """
    for name in registry.names():
        title = f"--{chosen_by}={name}: {registry.summary(name)}"
        for field, option in registry.options(name).items():
            kind, default = option.kind.removesuffix(" | None"), ast.literal_eval(option.default)
            if kind.startswith("tuple["):
                flags.DEFINE_list(f"{name}_{field}", list(map(str, default)), option.text)
            else:
                DEFINE[kind](f"{name}_{field}", default, option.text)
            _options.setdefault(title, []).append(f"{name}_{field}")


def options_from_flags(registry: Registry) -> dict[str, dict]:
    """The fields that `define_options` made flags of, by module: {name: {field: value}}."""
    return {
        name: {field: _option(f"{name}_{field}", option.kind) for field, option in registry.options(name).items()}
        for name in registry.names()
    }


def _option(flag: str, kind: str) -> object:
    """The value of an option's flag; of one that takes several, their tuple."""
    value = flags.FLAGS[flag].value
    if not kind.startswith("tuple["):
        return value
    read = {"int": int, "float": float, "str": str}[kind.removeprefix("tuple[").partition(",")[0]]
    try:
        return tuple(map(read, value))
    except ValueError:
        numbers = {int: "whole numbers", float: "numbers"}[read]
        raise UserError(f"--{flag}={','.join(value)}: expected {numbers}, separated by commas") from None


def define_path(name: str, default: str | None, text: str) -> None:
    """Defines a flag that takes a path: ~, a slash at the end and needless dots mean the same in all of them."""
    flags.DEFINE(_Parser(files.local), name, default, text)


def from_flags() -> Config:
    """The `Config` of this command line, every value checked that can be checked without the data."""
    return Config(
        **{
            name: flag.value if not isinstance(flag.value, list) else tuple(flag.value)
            for name, flag in _defined().items()
        }
    )


def given() -> dict[str, object]:
    """Those fields of `Config` that this command line sets itself."""
    return {name: flag.value for name, flag in _defined().items() if flag.present}


def _defined() -> dict[str, flags.Flag]:
    return {name: flags.FLAGS[name] for name in settings() if name in flags.FLAGS}


def run(main: Callable[[], object]) -> None:
    """Runs a tool. A user's mistake ends it with one sentence and exit status 1 or 2, never with a traceback."""

    for stream in (sys.stdout, sys.stderr):  # names of files need not be UTF-8
        stream.reconfigure(errors="backslashreplace")

    def guarded(argv):
        if len(argv) > 1:
            _fail(f"unexpected argument {argv[1]!r}: settings are flags, --name=value", 2)
        if not flags.FLAGS["verbosity"].present:
            console.be_quiet()
        startup.sooner()
        try:
            main()
        except (UserError, OSError) as error:  # an OSError names a file
            if flags.FLAGS.debug:
                traceback.print_exc()
            _fail(str(error), 1)
        except Interrupted as error:
            _fail(str(error), AGAIN)
        except KeyboardInterrupt:
            _fail("interrupted; the same command goes on from the last checkpoint", AGAIN)

    app.run(guarded, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    asked = any(argument in HELP for argument in argv[1:])
    try:
        rest = flags.FLAGS([argument for argument in argv if argument not in HELP])
    except flags.UnrecognizedFlagError as error:
        if not asked:
            _fail(_unknown_flag(error.flagname, str(error.flagvalue).partition("=")[2]), 2)
    except (flags.Error, OSError) as error:
        if not asked:
            _fail(str(error), 2)
    if asked:
        print(help_text(sys.modules["__main__"].__doc__ or ""))
        sys.exit(0)
    return rest


def help_text(about: str) -> str:
    """The help of a tool: what it does, its own flags, those of a run in groups, and the chosen method's arguments.

    Args:
        about: the tool's docstring.
    """
    known, groups = settings(), {group: [] for group in GROUPS}
    own, order = [], {name: number for number, name in enumerate(known)}
    titles = {name: title for title, names in _options.items() for name in names}
    groups |= {title: [] for title in _options}
    for name, flag in sorted(_own_flags().items(), key=lambda item: order.get(item[0], -1)):
        text = known[name].text if name in known else re.sub("^<[^>]*>: ", "", flag.help)  # absl puts choices there
        choices = known[name].choices if name in known else getattr(flag.parser, "enum_values", ())
        if any(choice not in text for choice in choices):
            text += f": {' | '.join(choices)}"
        shown = _default(flag)
        if name in known and isinstance(flag.value, list):
            shown, _, text = text.partition(", ")  # NAME=VALUE
        row = _row(f"--{name}" + (f"={shown}" if shown else ""), text)
        group = known[name].group if name in known else titles.get(name)
        (own if group is None else groups[group]).append(row)
    parts = [about.strip()]
    if own:
        parts += ["\nthis tool", *own]
    for group, rows in groups.items():
        if rows:
            parts += [f"\n{group}: {GROUPS[group]}" if group in GROUPS else f"\n{group}", *rows]
    if "method" in flags.FLAGS:
        name = flags.FLAGS["method"].value
        parts.append(f"\n--method_arg of --method={name}: {methods.summary(name)}")
        parts += [_row(f"{key}={argument.default}", argument.text) for key, argument in methods.arguments(name).items()]
    parts.append("\n--flagfile=PATH reads flags from a file; later flags win. --helpfull lists absl's flags too")
    return "\n".join(parts)


def _own_flags() -> dict[str, flags.Flag]:
    """The flags of this program that are not absl's own."""
    by_module = flags.FLAGS.flags_by_module_dict()
    ours = (module for module in by_module if module in ("ssl_keras.cli", sys.argv[0]) or module.startswith("tools."))
    return {flag.name: flag for module in ours for flag in by_module[module]}


def _default(flag: flags.Flag) -> str:
    value = flag.default
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value == [] else ",".join(value) if isinstance(value, list) else str(value)


def _row(left: str, text: str) -> str:
    """A flag or an argument and its help, which begins in a column of its own."""
    lines = textwrap.wrap(text, WIDTH - COLUMN) or [""]
    start = f"  {left}"
    first = f"{start:<{COLUMN}}{lines[0]}" if len(start) < COLUMN - 1 else f"{start}\n{' ' * COLUMN}{lines[0]}"
    return "\n".join([first.rstrip(), *(" " * COLUMN + line for line in lines[1:])])


def _unknown_flag(name: str, value: str) -> str:
    """What to say of a flag that there is not: that it is a method's argument, or which one is like it."""
    method = flags.FLAGS["method"].value if "method" in flags.FLAGS else None
    if method in methods.names():
        owners = [owner for owner in methods.names() if name in methods.arguments(owner)]
        owners = [method] if method in owners else owners
        if owners:
            switch = "" if owners == [method] else f"--method={owners[0] if len(owners) == 1 else 'NAME'} "
            argument = f"--method_arg={name}={value or 'VALUE'}"
            return f"--{name} is an argument of {', '.join(owners)}: {switch}{argument}"
    known = [f"--{other}" for other in _own_flags()]
    return f"unknown flag --{name}{nearest(f'--{name}', known)}; --help lists all flags"


def _fail(message: str, status: int) -> None:
    print(f"error: {shown(message)}", file=sys.stderr)
    sys.exit(status)
