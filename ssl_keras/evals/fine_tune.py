"""Fine-tuning: the whole network is trained on all labeled training images (SimCLR, appendix B.5; MAE, appendix A.1).

What is evaluated is a copy. Of an untrained encoder this is supervised training with the same budget.
"""

import dataclasses

from ssl_keras.evals import recipes, whole
from ssl_keras.evals.subject import Row, Subject

NEEDS = ("images", "labels")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the training.

    Args:
        recipe: small | simclr | byol | mae
        epochs: passes through the training images; 0: the recipe's
        batch_size: images in a batch, at most as many as there are; 0: the recipe's
        learning_rate: for 256 images, scaled linearly to the batch; 0: the recipe's, chosen on held-out training images
            where it has several
        layer_decay: factor on the learning rate from each block to the one before it; 1: none; 0: the recipe's
    """

    recipe: str = "small"
    epochs: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0
    layer_decay: float = 0.0

    def __post_init__(self):
        recipes.check("fine_tune", self)


def evaluate(subject: Subject, options: Options) -> list[Row]:
    """Top-1 accuracy after the last epoch.

    Raises:
        UserError: see `whole.given`; or training diverged.
    """
    encoder, train, test = whole.given(subject, options.layer_decay)
    crop = subject.encoding.crop
    trained = whole.chosen(encoder, train, recipes.settled(options), subject.seed, crop)
    known = {"recipe": options.recipe} | trained.conditions() | {"train_examples": len(train)}
    return [Row("top1", trained.accuracy(test, crop), known | {"test_examples": len(test)})]
