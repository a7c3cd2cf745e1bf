"""Whether an array's axes are in the order that is expected of images: [N, H, W, C] or [N, H, W]."""

FEW = 4  # as many channels, or fewer, say of an axis that it holds channels
MANY = 256  # no camera has more
NARROW = 32  # no picture is so many times as long as it is wide


def doubt(path: str, shape: tuple[int, ...]) -> str | None:
    """Why an array of 3 or 4 axes seems to be no images as expected, and how to save it, or None.

    What it seems to be is a guess by the sizes alone: channels are few, pictures about as wide as high. A user who
    means the axes as they are says so by the number of channels.
    """
    guess = _guess(*shape) if len(shape) == 4 else _guess_gray(*shape)
    if not guess:
        return None
    seems, save = guess
    channels = shape[3] if len(shape) == 4 else 1
    as_given = f"{shape[0]} images of {shape[1]} x {shape[2]} pixels and {channels} channel{'s' * (channels > 1)}"
    return (
        f"{path} holds {list(shape)}, which looks like {seems}: expected [N, H, W, C] or [N, H, W]; save {save}, or "
        f"set --channels={channels} if these are {as_given}"
    )


def _guess(n: int, h: int, w: int, c: int) -> tuple[str, str] | None:
    if c > FEW:
        if h <= FEW:
            return "[N, C, H, W]", "array.transpose(0, 2, 3, 1)"
        if w <= FEW:
            return "[H, W, C, N]", "array.transpose(3, 0, 1, 2)"
        if 1 < n <= FEW and _length(w, c) < _length(h, w):
            return "[C, N, H, W]", "array.transpose(1, 2, 3, 0)"
        if 1 < n <= FEW and c > MANY:
            return "[C, H, W, N]", "array.transpose(3, 1, 2, 0)"
        if _length(w, c) < _length(h, w) or h == w == c:
            return "[N, C, H, W]", "array.transpose(0, 2, 3, 1)"
    if n == h != w or _length(h, w) > NARROW:
        return "[H, W, N, C]", "array.transpose(2, 0, 1, 3)"
    return None


def _guess_gray(n: int, h: int, w: int) -> tuple[str, str] | None:
    if w <= FEW:
        return "one picture [H, W, C]", "array[np.newaxis]"
    if 1 < n <= FEW:
        return "one picture [C, H, W]", "array.transpose(1, 2, 0)[np.newaxis]"
    if n == h != w or _length(h, w) > NARROW:
        return "[H, W, N] or one picture [H, W, C]", "array.transpose(2, 0, 1) or array[np.newaxis]"
    return None


def _length(a: int, b: int) -> float:
    """How many times as long as wide."""
    return max(a, b) / min(a, b)
