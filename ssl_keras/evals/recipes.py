"""How a whole network is trained on labels: the papers' recipes by name, and one for small data.

All train on random resized crops and flips, with a cosine to 0 and a momentum (or beta_1) of 0.9, without decay of
biases and norms.
"""

import dataclasses
import math

from ssl_keras.errors import UserError
from ssl_keras.views.policies import CROP_AND_FLIP
from ssl_keras.views.policy import Policy
from ssl_keras.words import nearest

FEW = 0.01  # share of labels up to which `Recipe.epochs_of_few` count


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a whole network is trained.

    Args:
        optimizer: name, see `optim.build_optimizer`.
        rates: learning rates for 256 images, scaled linearly to the batch. Of several the best is chosen on held-out
            training images.
        epochs: passes through the images.
        epochs_of_few: the same for 1 % of the labels; None: as many.
        fewest_steps: where epochs have few batches there are more epochs, up to so many steps.
        batch_size: images in a batch, at most as many as there are.
        warmup: share of training in which the rate rises to its peak.
        weight_decay: coupled for SGD, decoupled for AdamW.
        nesterov: whether SGD's momentum looks ahead.
        layer_decay: factor on the learning rate from each block to the one before it, see `whole.layer_factors`.
        label_smoothing: share of the target that is spread over all classes.
        view: the random view that is trained on.
    """

    optimizer: str
    rates: tuple[float, ...]
    epochs: int
    epochs_of_few: int | None = None
    fewest_steps: int = 0
    batch_size: int = 1024
    warmup: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    layer_decay: float = 1.0
    label_smoothing: float = 0.0
    view: Policy = CROP_AND_FLIP

    def steps(self, examples: int) -> int:
        """Optimizer steps on so many images: whole epochs of whole batches."""
        of_epoch = max(examples // self.batch_size, 1)
        return of_epoch * max(self.epochs, math.ceil(self.fewest_steps / of_epoch))


RECIPES = {
    # Ours, for some hundreds to ten thousand images on a small machine. Chosen by the accuracy on 200 held-out of 1,000
    # training images, with resnet8: rate and optimizer on CIFAR-10 from scratch (AdamW at 0.001, 0.004 and 0.016: 28,
    # 37 and 42 %; SGD at 0.05 and 0.2: 38 and 44 %) and on the built-in scenes after SimCLR (AdamW at 0.004, 0.016 and
    # 0.04: 78, 95 and 98 %; SGD at 0.05 and 0.2: 58 and 92 %); the smallest crop on CIFAR-10 (0.08, 0.2, 0.5 and 0.8 of
    # the image: 40, 41, 44 and 45 %). With or without layer decay it is the same within 1 %. The rate is not the
    # highest, for larger networks.
    "small": Recipe(
        "adamw", (1.6e-2,), 40, fewest_steps=300, batch_size=64, warmup=0.1, weight_decay=0.05, layer_decay=0.75,
        view=Policy(crop_area=(0.5, 1.0)),
    ),
    # Chen et al., 2020, arXiv:2002.05709, appendix B.5: no warm-up, no regularization; the first layers are trained as
    # the last. 60 epochs for 1 % of the labels and 30 for 10 %.
    "simclr": Recipe("sgd", (0.05,), 30, epochs_of_few=60, batch_size=4096, nesterov=True),
    # Grill et al., 2020, arXiv:2006.07733, appendix C.1: five rates for its batch of 1,024 images, here for 256. It
    # chooses between 30 and 50 epochs too; here there are 50.
    "byol": Recipe("sgd", (0.025, 0.0125, 0.005, 0.0025, 0.00125), 50, batch_size=1024, nesterov=True),
    # He et al., 2022, arXiv:2111.06377, table 9, ViT-B; the layer decay is that of the released FINETUNE.md. Left out
    # are RandAugment, mixup, cutmix, random erasing and drop path, which it has beside crops and flips.
    "mae": Recipe(
        "adamw", (5e-4,), 100, batch_size=1024, warmup=0.05, weight_decay=0.05, layer_decay=0.65, label_smoothing=0.1,
        view=Policy(interpolation="bicubic"),
    ),
}  # fmt: skip


def check(evaluation: str, options) -> None:
    """Raises UserError for options that no training can have: `recipe`, `epochs`, `batch_size`, `learning_rate` and
    `layer_decay`, of which all but the first are 0 where they are the recipe's."""
    if options.recipe not in RECIPES:
        like = nearest(options.recipe, list(RECIPES))
        raise UserError(f"unknown --{evaluation}_recipe {options.recipe!r}{like}; known: {', '.join(RECIPES)}")
    for name, most in (("epochs", None), ("batch_size", None), ("learning_rate", None), ("layer_decay", 1)):
        value = getattr(options, name)
        if not 0 <= value < math.inf or (most is not None and value > most):
            end = "" if most is None else f" and at most {most}"
            raise UserError(f"--{evaluation}_{name} must be at least 0 (the recipe's){end}, got {value:g}")


def settled(options, share: float = 1.0) -> Recipe:
    """The recipe of checked options.

    Args:
        share: of the labels, that it is for.
    """
    recipe = RECIPES[options.recipe]
    few = recipe.epochs_of_few if share <= FEW else None
    return dataclasses.replace(
        recipe,
        epochs=options.epochs or few or recipe.epochs,
        fewest_steps=0 if options.epochs else recipe.fewest_steps,
        batch_size=options.batch_size or recipe.batch_size,
        rates=(options.learning_rate,) if options.learning_rate else recipe.rates,
        layer_decay=options.layer_decay or recipe.layer_decay,
    )
