"""Floating-point operations (FLOP): those of a traced function, counted, and those that the machine makes a second."""

import math
import time

import tensorflow as tf

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
LOOPS = ("While", "StatelessWhile")


def count(graph: tf.Graph) -> int:
    """Operations of the convolutions and matrix products: two for each pair that is multiplied and added.

    All else is left out, as usual: it is little, and no machine's peak is meant for it.

    Args:
        graph: of a `tf.function`'s concrete function, in which these shapes are known.

    Raises:
        ValueError: a loop has such operations in it, and how often it runs is not to be seen.
    """
    return sum(_operations(op, graph) for op in graph.get_operations())


def _operations(op: tf.Operation, graph: tf.Graph) -> int:
    if op.type in CALLS:
        return count(_called(graph, op.get_attr("f").name))
    if op.type in LOOPS:
        if count(_called(graph, op.get_attr("body").name)):
            raise ValueError(f"the loop {op.name} multiplies matrices, and how often it runs is not to be seen")
        return 0
    if op.type == "Conv2D":
        return 2 * _size(op.outputs[0]) * math.prod(op.inputs[1].shape[:3])
    if op.type == "Conv2DBackpropInput":
        return 2 * _size(op.inputs[2]) * math.prod(op.inputs[1].shape[:3])
    if op.type == "Conv2DBackpropFilter":
        return 2 * _size(op.inputs[2]) * math.prod(op.outputs[0].shape[:3])
    if op.type in ("MatMul", "BatchMatMulV2", "BatchMatMulV3"):
        transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
        return 2 * _size(op.outputs[0]) * op.inputs[0].shape[-2 if transposed else -1]
    if op.type == "Einsum":
        terms = op.get_attr("equation").decode().partition("->")[0].split(",")
        sides = {letter: side for term, x in zip(terms, op.inputs) for letter, side in zip(term, x.shape)}
        return 2 * math.prod(sides.values()) if len(terms) > 1 else 0
    return 0


def _called(graph: tf.Graph, name: str) -> tf.Graph:
    function = graph._get_function(name)  # TensorFlow has no public way from a call to the function that is called
    return function.graph


def _size(x: tf.Tensor) -> int:
    return math.prod(x.shape)


def peak(dtype: str, side: int = 2048, seconds: float = 2.0) -> float:
    """Operations per second of products of large square matrices, the best of those that fit in some seconds.

    Args:
        dtype: float32, bfloat16 or float16, of the factors and the product.
        side: of the matrices.
    """
    a = tf.cast(tf.random.stateless_uniform([side, side], (0, 0)), dtype)
    product = tf.function(lambda: tf.reduce_sum(tf.cast(tf.matmul(a, a)[0], tf.float32)))
    float(product())
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        float(product())
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best
