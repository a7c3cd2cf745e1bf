"""TensorBoard's table of runs: the settings of each beside its last numbers."""

import glob
import os
from collections.abc import Mapping

import tensorflow as tf
from tensorboard.plugins.hparams import api
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from ssl_keras import files
from ssl_keras.words import shown

SUFFIX = ".hparams"  # of the events' file
# The columns that are seen at once; the others can be switched on. TensorBoard shows five, by name.
FIRST = ("backbone", "batch_size", "epochs", "learning_rate", "method")


def write(directory: str, settings: Mapping[str, object], metrics: Mapping[str, str]) -> None:
    """Writes the row of a run, in place of an earlier one: a resumed run has one row, with its newest settings.

    TensorBoard names the row by the run's folder, so that copies of a run are other rows. It reads the columns from
    the first run that it finds; every run states the same ones.

    Args:
        directory: the run's `tensorboard/`.
        settings: values by name; those that are unset have no value in the row.
        metrics: tags of scalars, and what stands above their columns.
    """
    for earlier in glob.glob(os.path.join(glob.escape(directory), f"*{SUFFIX}")):
        files.remove(earlier)
    columns = api.hparams_config_pb(
        hparams=[api.HParam(name) for name in settings],
        metrics=[api.Metric(tag, display_name=name) for tag, name in metrics.items()],
    )
    values = {name: _simple(value) for name, value in settings.items() if value not in (None, (), "")}
    writer = tf.summary.create_file_writer(directory, filename_suffix=SUFFIX)
    with writer.as_default(step=0):
        tf.summary.experimental.write_raw_pb(_with_first(columns).SerializeToString())
        api.hparams(values, trial_id="")  # by which TensorBoard takes the folder's name
    writer.close()


def _with_first(columns):
    """The columns with `FIRST` marked as those in which runs differ, which TensorBoard shows before all others."""
    content = columns.value[0].metadata.plugin_data
    data = HParamsPluginData.FromString(content.content)
    for info in data.experiment.hparam_infos:
        info.differs = info.name in FIRST
    content.content = data.SerializeToString()
    return columns


def _simple(value: object) -> object:
    """A value that an event can hold: a number, or readable text."""
    value = ", ".join(value) if isinstance(value, tuple) else value
    return shown(value) if isinstance(value, str) else value
