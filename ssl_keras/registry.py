"""What is found by the name of its file: methods, evaluations, formats, sources. A file more is one more of them.

Sources are read, not imported, so that a list of names or a help text costs nothing before TensorFlow is loaded.
"""

import ast
import importlib.util
import pkgutil
import re
from types import ModuleType
from typing import NamedTuple

from ssl_keras.errors import UserError
from ssl_keras.words import nearest


class Argument(NamedTuple):
    """An argument: its type and default as they are written in Python, and what the docstring says of it."""

    kind: str
    default: str
    text: str


class Registry:
    """The modules of a package, by name.

    Args:
        package: full name of the package.
        what: what each module is, for messages, such as "method".
        beside: modules of the package that are none.
    """

    def __init__(self, package: str, what: str, beside: tuple[str, ...] = ()):
        self.package, self.what, self.beside = package, what, beside

    def names(self) -> list[str]:
        """The known names, sorted."""
        found = (module.name for module in pkgutil.iter_modules(self._path()))
        return sorted(name for name in found if name not in self.beside)

    def check(self, name: str) -> None:
        """Raises UserError for a name that there is not."""
        if name not in self.names():
            known = ", ".join(self.names())
            raise UserError(f"unknown {self.what} {name!r}{nearest(name, self.names())}; known: {known}")

    def load(self, name: str) -> ModuleType:
        """The module, imported."""
        self.check(name)
        return importlib.import_module(f"{self.package}.{name}")

    def read(self, name: str) -> ast.Module:
        """The module as parsed source."""
        self.check(name)
        with open(importlib.util.find_spec(f"{self.package}.{name}").origin, encoding="utf-8") as file:
            return ast.parse(file.read())

    def summary(self, name: str) -> str:
        """The first line of a module: its name, its paper, and its idea."""
        return ast.get_docstring(self.read(name)).splitlines()[0]

    def options(self, name: str) -> dict[str, Argument]:
        """The fields of the module's dataclass `Options`; {} where it has none."""
        classes = (node for node in self.read(name).body if isinstance(node, ast.ClassDef))
        found = next((node for node in classes if node.name == "Options"), None)
        if found is None:
            return {}
        told = described(found)
        return {
            field.target.id: Argument(ast.unparse(field.annotation), ast.unparse(field.value), told[field.target.id])
            for field in found.body
            if isinstance(field, ast.AnnAssign)
        }

    def _path(self) -> list[str]:
        return importlib.import_module(self.package).__path__


def described(node: ast.ClassDef) -> dict[str, str]:
    """What the section Args of a class's docstring says of each argument; several may share an entry."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", ast.get_docstring(node) or "", re.S | re.M)
    told = {}
    for entry in re.split(r"\n(?=    \S)", section[1]) if section else ():
        names, _, text = entry.partition(":")
        told |= {word.strip(): " ".join(text.split()) for word in names.split(",")}
    return told
