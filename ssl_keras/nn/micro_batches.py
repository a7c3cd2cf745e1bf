"""Takes a large batch through networks in pieces, one after another, in the memory of one piece.

Gradient caching (Gao et al., 2021, arXiv:2101.06983) has two passes. The first makes the embeddings of all rows,
without a tape; the loss on all of them gives its gradient with respect to each. In the second pass each piece carries
the gradient of its own embeddings to the weights. This is the gradient of the loss of the whole batch, however that
loss compares rows; accumulated gradients of the pieces' own losses are not.

The pieces go through a `tf.while_loop`: graph and memory do not grow with their number, and XLA compiles it. Its body
writes to no variable and has no collective, which would not work in a loop under MirroredStrategy.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.errors import UserError
from ssl_keras.nn.batch_norm import holding

WRITES = ("AssignVariable", "AssignAdd", "AssignSub", "ResourceScatter", "ResourceApply")  # beginnings of operations


class MicroBatches:
    """The passes of a batch through `embed`, in pieces.

    Args:
        embed: (*inputs) -> tuple of tensors [n, ...], a row for each row of the inputs. A row may depend on the others
            of its piece by batch normalization alone. It draws no random numbers: what is random comes in as an input,
            so that both passes see the same.
        inputs: tensors [b, ...], this replica's part of the batch; the length b of at least one is known statically.
        rows: rows of a piece, a divisor of b.

    Raises:
        UserError: rows that do not divide the batch, or a batch of unknown length.
    """

    def __init__(self, embed: Callable, inputs: Sequence[tf.Tensor], rows: int):
        b = next((x.shape[0] for x in inputs if x.shape[0]), None)
        if b is None or b % rows:
            raise UserError(
                f"a replica's batch of {b or 'unknown'} rows does not divide into pieces of {rows}: use a "
                "micro_batch_size that divides the batch size"
            )
        self.embed, self.rows, self.count = embed, rows, b // rows
        self.pieces = [tf.reshape(x, [self.count, rows, *x.shape[1:]]) for x in inputs]
        self.outputs, self.statistics = self._dry_run()

    def _dry_run(self):
        """Type and shape of each output of a piece, and the moving statistics that a piece would move."""
        moved = {}

        def once(*piece):
            with holding(moved):
                return tuple(self.embed(*piece))

        specs = [tf.TensorSpec(x.shape[1:], x.dtype) for x in self.pieces]
        traced = tf.function(once, autograph=False).get_concrete_function(*specs)
        _check_no_writes(traced.graph)
        return traced.structured_outputs, [variable for variable, _ in moved.values()]

    def embeddings(self, move: bool) -> tuple[tf.Tensor, ...]:
        """The embeddings of all rows [b, ...], without gradient.

        Args:
            move: whether moving statistics move.
        """

        def body(i, arrays, sums):
            piece, sums = self._piece(i, sums)
            return i + 1, [array.write(i, x) for array, x in zip(arrays, piece, strict=True)], sums

        arrays = [tf.TensorArray(x.dtype, self.count, element_shape=x.shape) for x in self.outputs]
        arrays, sums = self._loop(body, arrays)
        if move:
            self._move(sums)
        return tuple(
            tf.stop_gradient(tf.reshape(array.stack(), [self.count * self.rows, *x.shape[1:]]))
            for array, x in zip(arrays, self.outputs, strict=True)
        )

    def gradients(self, cached: Sequence[tf.Tensor | None], variables: Sequence) -> list[tf.Tensor | None]:
        """The gradient of the loss with respect to variables, by way of the embeddings; moving statistics move.

        Args:
            cached: for each embedding the gradient [b, ...] of the loss with respect to it; None: none.
            variables: trainable ones.

        Returns:
            For each variable the sum over all pieces, in its own dtype; None where `embed` does not reach it.
        """
        cached = [None if g is None else tf.reshape(g, [self.count, self.rows, *g.shape[1:]]) for g in cached]
        unreached = set()

        def body(i, totals, sums):
            with tf.GradientTape() as tape:
                piece, sums = self._piece(i, sums)
            pairs = [(x, g[i]) for x, g in zip(piece, cached, strict=True) if g is not None]
            gradients = tape.gradient([x for x, _ in pairs], variables, output_gradients=[g for _, g in pairs])
            unreached.update(k for k, g in enumerate(gradients) if g is None)
            totals = [t if g is None else t + tf.cast(g, t.dtype) for t, g in zip(totals, gradients, strict=True)]
            return i + 1, totals, sums

        totals, sums = self._loop(body, [tf.zeros(v.shape, v.dtype) for v in variables])
        self._move(sums)
        return [None if k in unreached else total for k, total in enumerate(totals)]

    def _loop(self, body, carried):
        self.starts = [tf.convert_to_tensor(v) for v in self.statistics]
        _, carried, sums = tf.while_loop(
            lambda i, *_: i < self.count,
            body,
            (tf.constant(0), carried, [tf.zeros_like(start) for start in self.starts]),
            parallel_iterations=1,
            maximum_iterations=self.count,
        )
        return carried, sums

    def _piece(self, i, sums):
        """The outputs of piece i, and `sums` plus where the piece takes the moving statistics from their start."""
        held = {id(v): (v, start) for v, start in zip(self.statistics, self.starts, strict=True)}
        with holding(held):
            outputs = tuple(self.embed(*(x[i] for x in self.pieces)))
        return outputs, [s + held[id(v)][1] for v, s in zip(self.statistics, sums, strict=True)]

    def _move(self, sums):
        """Moves the moving statistics once, as one pass does, by the mean over all pieces (and replicas).

        That is the mean of the whole batch. The variance is the mean variance within pieces; the variance between the
        pieces' means is not in it.
        """
        if self.statistics:
            moved = distribute.mean([s / self.count for s in sums])
            for variable, value in zip(self.statistics, moved, strict=True):
                variable.assign(value)


def _check_no_writes(graph: tf.Graph) -> None:
    """Refuses passes that change variables, as Keras's own batch normalization and its dropout do.

    Both passes of a piece would, and see different values: statistics would move many times in a step, and gradients
    would be those of other random numbers than the loss's.
    """
    captured = {id(inner): outer for outer, inner in graph.captures}
    names = {id(v.handle): v.name.removesuffix(":0") for v in graph.variables}
    for operation in graph.get_operations():
        if operation.type.startswith(WRITES):
            name = names.get(id(captured.get(id(operation.inputs[0]))), "a variable")
            raise UserError(
                f"micro_batch_size needs networks whose passes change no variable, and {name} is changed: use "
                "ssl_keras.as_fused(backbone) in place of Keras's own batch normalization, and no dropout"
            )
