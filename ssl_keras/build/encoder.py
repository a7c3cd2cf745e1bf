"""A run's folder -> its encoder."""

import dataclasses
import os

from ssl_keras import run_folder
from ssl_keras.config import read_run
from ssl_keras.encoders import file
from ssl_keras.encoders.encoder import Encoder


def shipped(workdir: str) -> Encoder:
    """The encoder that a finished run left.

    Raises:
        UserError: there is no such run, or it has not finished.
    """
    run = read_run(workdir)
    encoder = file.load_encoder(os.path.join(workdir, run_folder.ENCODER))
    if encoder.contract.canvas_size is None:  # runs of earlier versions keep it in their settings alone
        contract = dataclasses.replace(encoder.contract, canvas_size=run.canvas_size)
        encoder = dataclasses.replace(encoder, contract=contract)
    return encoder
