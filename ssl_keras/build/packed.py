"""The settings of a run on shards: what they were made with, which no run can change any more."""

import dataclasses

from ssl_keras.config import Config, settings
from ssl_keras.data.source import Source
from ssl_keras.errors import UserError

# Of the settings of the data, those that are no matter of the canvases.
FREE = (
    *("data", "data_dir", "train_examples", "data_service", "max_bad_fraction", "image_size", "fill"),
    *("group_by", "positives"),
)


def settings_made(config: Config) -> dict[str, object]:
    """What a manifest says of the resolved settings; its fill is the mean."""
    return of_canvases(config) | {"image_size": config.image_size, "fill": config.fill}


def of_canvases(config: Config) -> dict[str, object]:
    """The settings that decide what canvases hold."""
    own = (name for name, known in settings().items() if known.group == "data" and name not in FREE)
    return {name: getattr(config, name) for name in own}


def as_packed(config: Config, source: Source) -> Config:
    """The settings with those of the canvases that the source gives, where it gives canvases.

    Raises:
        UserError: a setting asks for something else.
    """
    if source.packed is None:
        return config
    made, asked, default = source.packed.settings, source.packed.asked, Config()
    changes = {}
    for name, mine in of_canvases(config).items():
        there = made.get(name, getattr(default, name))
        if mine not in (getattr(default, name), there, asked.get(name)):
            raise UserError(
                f"--{name}={mine}: {source.name} holds canvases that were made with {there}. Leave it out, or make "
                f"shards with --{name}={mine}"
            )
        changes[name] = there
    changes["image_size"] = config.image_size or made["image_size"]
    changes["fill"] = made["fill"] if config.fill == "mean" else config.fill
    return dataclasses.replace(config, **changes)
