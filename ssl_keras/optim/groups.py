"""Parameters that an optimizer treats apart, told by their path and their number of dimensions."""

import re
from typing import NamedTuple

from ssl_keras.errors import UserError


class ParameterGroups(NamedTuple):
    """Which parameters are treated apart: the arguments of `optim.build_optimizer`.

    Attributes:
        exclude_1d: whether parameters of one dimension or none go without weight decay and trust ratio.
        exclude: regular expressions, searched in the parameters' paths: those go without likewise.
        lr_multipliers: pairs (regular expression, factor on the learning rate); the first found counts.
        constant_lr_paths: regular expressions of the parameters that keep the schedule's peak.
        held: pairs (regular expression, steps): parameters that are left as they are in so many of the optimizer's
            first steps; the first found counts.
    """

    exclude_1d: bool = False
    exclude: tuple = ()
    lr_multipliers: tuple = ()
    constant_lr_paths: tuple = ()
    held: tuple = ()

    @classmethod
    def from_config(cls, config):
        """From the dict of lists that a saved optimizer holds."""
        lr_multipliers, held = (tuple(map(tuple, config[name])) for name in ("lr_multipliers", "held"))
        return cls(
            config["exclude_1d"], tuple(config["exclude"]), lr_multipliers, tuple(config["constant_lr_paths"]), held
        )

    def resolve(self, variables):
        """A `Treatment` for each of `variables`, in their order; UserError for a pattern that fits none."""
        pairs = (*self.lr_multipliers, *self.held)
        patterns = [*self.exclude, *(pattern for pattern, _ in pairs), *self.constant_lr_paths]
        for pattern in patterns:
            if not any(re.search(pattern, v.path) for v in variables):
                paths = ", ".join(v.path for v in variables)
                raise UserError(f"the optimizer's pattern {pattern!r} fits none of the parameters: {paths}")
        return tuple(self._treatment(v) for v in variables)

    def _treatment(self, variable):
        def found(pattern):
            return re.search(pattern, variable.path) is not None

        return Treatment(
            excluded=(self.exclude_1d and len(variable.shape) <= 1) or any(map(found, self.exclude)),
            lr_multiplier=next((factor for pattern, factor in self.lr_multipliers if found(pattern)), 1.0),
            constant_lr=any(map(found, self.constant_lr_paths)),
            held=next((steps for pattern, steps in self.held if found(pattern)), 0),
        )


class Treatment(NamedTuple):
    """How one parameter is updated."""

    excluded: bool  # from weight decay and trust ratio
    lr_multiplier: float
    constant_lr: bool
    held: int  # steps of the optimizer's in which it is left as it is
