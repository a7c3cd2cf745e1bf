"""Numbers and names in sentences for the user."""


def shown(name: str) -> str:
    """A file's name as it can be printed: bytes that are no UTF-8 become backslash escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 image, 2 images."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listing(values: dict[str, object], most: int = 12) -> str:
    """Names with what belongs to each, the first and the last alone where they are many."""
    items = [f"{shown(name)} {value}".rstrip() for name, value in values.items()]
    return ", ".join(items if len(items) <= most else [*items[: most - 2], "..", items[-1]])
