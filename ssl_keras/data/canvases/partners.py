"""For each image another one of its group, of the same patient or scene, whose view is to be like its own.

MICLe (Azizi et al., 2021, arXiv:2101.05224) and MedAug (Vu et al., 2021, arXiv:2102.10663) pretrain on such pairs.
"""

import numpy as np

from ssl_keras.data.canvases.memory import Canvases
from ssl_keras.data.canvases.streams import StreamedCanvases
from ssl_keras.errors import UserError
from ssl_keras.words import counted

POSITIVES = ("self", "group")


class Partners:
    """Draws partners, all images of a group but the image itself being equally likely.

    Args:
        groups: int [N].
        seed: of the draws.
    """

    def __init__(self, groups: np.ndarray, seed: int):
        self._seed = seed
        _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        self._order = np.argsort(number, kind="stable")  # the images, group by group
        first = np.cumsum(sizes) - sizes
        self._first, self._size = first[number], sizes[number]
        self._place = np.empty(len(groups), np.int64)
        self._place[self._order] = np.arange(len(groups))
        self._place -= self._first  # of an image in its group

    def of_epoch(self, epoch: int) -> np.ndarray:
        """The partner of each image, int64 [N]: a function of seed, epoch and the image's number.

        An image that is alone in its group is its own.
        """
        # A counter that `order.epoch_order`, whose key is the same, does not reach.
        generator = np.random.Generator(np.random.Philox(key=[self._seed % 2**64, epoch], counter=[0, 0, 0, 1]))
        place = (generator.random(len(self._size)) * (self._size - 1)).astype(np.int64)
        place += (place >= self._place) & (self._size > 1)
        return self._order[self._first + place]


def check(canvases: Canvases | StreamedCanvases) -> str:
    """A line on who has partners.

    Raises:
        UserError: the images are not in memory, or no group has two.
    """
    if isinstance(canvases, StreamedCanvases):
        need = len(canvases) * canvases.spec.bytes / 2**30
        raise UserError(
            f"--positives=group takes images from memory, and these need {need:.1f} GiB, more than may be used here: "
            "set a smaller --canvas_size or fewer --train_examples"
        )
    sizes = np.unique(canvases.groups, return_counts=True)[1]
    alone = int((sizes == 1).sum())
    if alone == len(canvases):
        raise UserError("--positives=group: no group has two images, so that each would be its own positive")
    line = f"positives: every second view is of another image of the group; {counted(int((sizes > 1).sum()), 'group')}"
    return line + (f", {counted(alone, 'image')} without another one" if alone else "")
