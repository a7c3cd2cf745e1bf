"""Settings -> the method with its backbone, its views and its optimizer, ready to train."""

import inspect

import keras

from ssl_keras import distribute, methods
from ssl_keras.build.arguments import literal
from ssl_keras.build.data import channel_statistics, class_count
from ssl_keras.build.optimizer import build_optimizer
from ssl_keras.build.values import gaps_of
from ssl_keras.config import Config
from ssl_keras.data.canvases import batches
from ssl_keras.errors import UserError
from ssl_keras.methods.base import SSLModel, why_one_image
from ssl_keras.nn import norm
from ssl_keras.nn.backbones import build_backbone
from ssl_keras.nn.multi_crop import at_size
from ssl_keras.settings import check_micro_batches
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews


def compiled_method(config: Config, method_class: type, arguments: dict, canvases) -> keras.Model:
    """The method with its backbone, views and optimizer, ready to fit; call it in the strategy's scope."""
    if config.micro_batch_size is not None:
        check_micro_batches(config.batch_size, config.micro_batch_size, distribute.num_replicas())
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    steps = batches.steps_per_epoch(canvases, config.batch_size)
    mean, std = channel_statistics(canvases)
    backbone = untrained_backbone(config, mean, std)
    views = random_views(config)
    check_views(config, method_class, views)
    if config.resolution_schedule:
        if method_class.cuts_views:
            raise UserError(f"{config.method} cuts its views into pieces of one size: leave out --resolution_schedule")
        backbone = at_size(backbone, None)
    facts = {
        "num_classes": class_count(canvases),
        "num_examples": len(canvases),
        "batch_size": config.batch_size,
        "total_steps": config.epochs * steps,
    }
    wanted = inspect.signature(method_class.__init__).parameters
    with normalization(config):
        method = method_class(backbone, views, **arguments, **{k: v for k, v in facts.items() if k in wanted})
    check_positives(config, method, len(method.views.views))
    method.micro_batch_size = config.micro_batch_size
    method.check_batch(config.batch_size)
    method.compile(optimizer=build_optimizer(config, method, steps), jit_compile=jit_compile(config))
    return method


def jit_compile(config: Config) -> bool | str:
    """What the method's `compile` is told: whether XLA compiles whole steps.

    A TPU's strategy compiles by itself; between several GPUs of a host XLA cannot communicate.
    """
    if config.jit_compile == "auto":
        return "auto"
    single = distribute.num_replicas() == 1
    if config.jit_compile == "true" and not single and config.strategy != "tpu":
        raise UserError("--jit_compile=true compiles the step of a single device; leave it out with several")
    return config.jit_compile == "true" and single


def random_views(config: Config) -> RandomViews:
    """The layer that makes the views of the settings."""
    without = tuple(filter(None, config.views_without.split(",")))
    changes = {}
    for item in config.view_arg:
        name, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"--view_arg={item} must have the form NAME=VALUE")
        changes[name] = literal(text, object, f"--view_arg={item}")
    recipe = policies.get(config.views, config.image_size, without=without, **changes)
    gaps = gaps_of(config)
    whole = not methods.load(config.method).cuts_views  # pieces are compared by their numbers
    if gaps and not whole and (gaps.as_channel or any(gaps.fill)):
        raise UserError(f"--fill={config.fill}: {config.method} cuts its views into pieces, and takes --fill=0 alone")
    return RandomViews(
        recipe, config.image_size, seed=config.seed, color=config.color, gaps=bool(gaps), mark_gaps=bool(gaps) and whole
    )


def check_views(config: Config, method_class: type, views: RandomViews) -> None:
    """Refuses a recipe that gives a method more or fewer views than it compares."""
    if needed := method_class.views_lacking(views):
        raise UserError(
            f"--views={config.views} makes {len(views.views)} view(s) of an image, and {config.method} needs {needed}: "
            f"such as --views={method_class.default_views}"
        )


def check_positives(config: Config, method: SSLModel | type[SSLModel], views: int | None = None) -> None:
    """Refuses views of two images of a group for a method that needs them of one.

    Args:
        views: how many it is given; None: those of the recipe in the settings.
    """
    if config.positives != "group":
        return
    views = views or len(policies.get(config.views or method.default_views, config.image_size or 224))
    if why := why_one_image(method, views):
        raise UserError(
            f"--positives=group: {config.method} {why}, so that its views cannot be of two images: leave it out, or "
            "take another method, such as simclr"
        )


def untrained_backbone(config: Config, mean, std) -> keras.Model:
    """The run's backbone with the weights that its seed gives."""
    with normalization(config):
        return build_backbone(
            config.backbone,
            config.image_size,
            config.channels,
            width=config.width,
            seed=config.seed,
            mean=mean,
            std=std,
            stem=config.stem,
            zero_init_last=config.zero_init_last,
            patch=config.patch,
            pool=config.pool,
            gaps=gaps_of(config),
        )


def normalization(config: Config):
    """The context in which the run's networks are built; a replica's pieces are normalized by themselves."""
    return norm.using(config.norm, synchronized=None if config.micro_batch_size is None else False)
