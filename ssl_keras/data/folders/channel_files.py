"""`--channels_from`: which files are the channels of one image. A function of paths alone."""

import re
from dataclasses import dataclass

from ssl_keras.errors import UserError
from ssl_keras.words import counted, listing, shown

COMMON, ANY = "{}", "*"
FORM = "patterns separated by commas, one for each channel, such as {}_red.png,{}_green.png"


@dataclass(frozen=True)
class Pattern:
    """Which files are one channel.

    Args:
        text: as it was written: {} stands for what the files of an image have in common, * for any other text within a
            file's or a folder's name.
    """

    text: str

    @property
    def expression(self) -> str:
        """The same as a regular expression, a group for each {}."""
        words = {COMMON: "(.*)", ANY: "[^/]*"}
        return "".join(words.get(part, re.escape(part)) for part in re.split(r"(\{\}|\*)", self.text))

    @property
    def fixed(self) -> int:
        """How many characters it spells out."""
        return len(self.text.replace(COMMON, "").replace(ANY, ""))


@dataclass(frozen=True)
class Group:
    """The files of an image.

    Args:
        name: what they have in common, below the root: as a path, that of the image.
        files: the path of each channel's file in the order of the patterns; None: it is missing.
    """

    name: str
    files: tuple[str | None, ...]


def parse(text: str) -> tuple[Pattern, ...]:
    """The patterns of `--channels_from`.

    Raises:
        UserError: there are none, one is without {}, or the same as another; or they have not all as many {}.
    """
    flag, patterns = f"--channels_from={text}", [part.strip() for part in text.split(",")]
    for pattern in patterns:
        if COMMON not in pattern:
            raise UserError(
                f"{flag}: {pattern!r} has no {COMMON}, which stands for what the names of an image's files have in "
                f"common: expected {FORM}"
            )
        if patterns.count(pattern) > 1:
            raise UserError(f"{flag} has {pattern} twice: each channel needs a pattern of its own")
    if len({pattern.count(COMMON) for pattern in patterns}) > 1:
        raise UserError(f"{flag}: all patterns need the same number of {COMMON}, for the same texts")
    return tuple(map(Pattern, patterns))


def grouped(paths: list[str], patterns: tuple[Pattern, ...]) -> tuple[list[Group], list[str]]:
    """The images that files are the channels of, by name, and remarks.

    A file that several patterns match is that of the one that spells out most: B11.tif is {}11.tif, and not {}1.tif.

    Args:
        paths: relative to the root, sorted.

    Raises:
        UserError: no file matches a pattern; two files are the same channel of an image; a file matches two patterns
            alike.
    """
    expressions = [re.compile(pattern.expression) for pattern in patterns]
    found: dict[str, dict[int, str]] = {}
    others = []
    for path in paths:
        matches = {number: expression.fullmatch(path) for number, expression in enumerate(expressions)}
        matching = [number for number, match in matches.items() if match]
        if not matching:
            others.append(path)
            continue
        number = _closest(path, matching, patterns)
        name = "/".join(filter(None, (part.strip("/") for part in matches[number].groups())))
        files = found.setdefault(name, {})
        if number in files:
            raise UserError(
                f"--channels_from: two files match {patterns[number].text} for the image {shown(name)}, "
                f"{shown(files[number])} and {shown(path)}: write more of the name into the pattern"
            )
        files[number] = path
    _check_all_match(paths, patterns, {number for files in found.values() for number in files})
    groups = [Group(name, tuple(map(files.get, range(len(patterns))))) for name, files in sorted(found.items())]
    remarks = [f"channels: {listing({str(k): pattern.text for k, pattern in enumerate(patterns, 1)})}"]
    if others:
        left = f"passed over {counted(len(others), 'file')} that no pattern of --channels_from matches"
        remarks.append(f"{left}; first: {shown(others[0])}")
    return groups, remarks


def _closest(path: str, numbers: list[int], patterns: tuple[Pattern, ...]) -> int:
    """Of patterns that match a path, the one that spells out most."""
    ordered = sorted(numbers, key=lambda number: -patterns[number].fixed)
    if len(ordered) > 1 and patterns[ordered[0]].fixed == patterns[ordered[1]].fixed:
        raise UserError(
            f"--channels_from: {shown(path)} matches {patterns[ordered[0]].text} and {patterns[ordered[1]].text}: "
            "write more of the name into the patterns"
        )
    return ordered[0]


def _check_all_match(paths: list[str], patterns: tuple[Pattern, ...], seen: set[int]) -> None:
    for number, pattern in enumerate(patterns):
        if number not in seen:
            raise UserError(
                f"--channels_from: none of {counted(len(paths), 'file')} matches {pattern.text}; they are such as "
                f"{', '.join(map(shown, paths[:3]))} (small and capital letters differ)"
            )
