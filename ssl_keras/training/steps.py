"""How far a model is trained."""

import keras


def steps_made(model: keras.Model) -> int:
    """The optimizer's count of the steps that the model has made."""
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))
