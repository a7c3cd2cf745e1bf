"""How many pixels an encoded image may claim: a header of forty bytes must not ask for gigabytes."""

MOST_PIXELS = 2**29 // 3  # the limit of TensorFlow's JPEG decoder in colour, and Pillow's
FREE_PIXELS = 2**23  # what any file may claim, however short: a blank 4K picture is forty bytes of lossless WebP
PIXELS_PER_BYTE = 8256  # 1032 bytes from one are the most that deflate gives, of eight pixels each in a 1-bit PNG

TOO_LARGE = (
    f"the header claims more than {MOST_PIXELS:,} pixels, or more than so short a file can hold: "
    "save it smaller, or as tiles"
)


def may_hold(height, width, length):
    """Whether a file of `length` bytes may claim so many pixels: numbers or int64 scalars."""
    pixels = height * width
    return (pixels <= MOST_PIXELS) & ((pixels <= FREE_PIXELS) | (pixels <= PIXELS_PER_BYTE * length))
