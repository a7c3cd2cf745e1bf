"""Patches, what is hidden, and the decoder."""

import numpy as np
import tensorflow as tf

from ssl_keras.nn import masking, vit


def test_patches_are_those_that_the_vit_projects():
    x = np.random.default_rng(0).random((2, 8, 8, 3), "float32")
    embed = vit.build("vit_tiny", 8, patch=4, seed=0).get_layer("embed")
    kernel, bias = embed.get_layer("patch_projection").get_weights()
    positions = np.add(*vit.sin_cos_positions(2, 192)).reshape(4, 192)
    patches = masking.split_patches(tf.constant(x), 4).numpy()
    np.testing.assert_array_equal(patches[1, 2], x[1, 4:, :4].ravel())
    np.testing.assert_allclose(patches @ kernel.reshape(-1, 192) + bias + positions, embed(x), atol=1e-5)


def test_the_smallest_draws_are_visible_and_the_order_can_be_undone():
    noise = np.random.default_rng(0).random((5, 16), "float32")
    visible, restore = (t.numpy() for t in masking.shuffle_order(tf.constant(noise), 4))
    for row in range(5):
        assert sorted(noise[row, visible[row]]) == sorted(noise[row])[:4]
        np.testing.assert_array_equal(restore[row, visible[row]], range(4))
        assert sorted(restore[row]) == list(range(16))


def test_the_decoder_puts_each_patch_back_in_its_place():
    """Without blocks, a patch's output is that of its own token: an encoded one or the mask token's."""
    decoder = masking.Decoder(8, 12, grid=4, dim=16, depth=0, heads=2)
    noise = np.random.default_rng(0).random((3, 16), "float32")
    visible, restore = masking.shuffle_order(tf.constant(noise), 4)
    encoded = tf.random.stateless_normal([3, 5, 8], [0, 0])
    out = decoder(encoded, restore).numpy()
    tokens = decoder.embed(encoded).numpy()
    full = np.broadcast_to(decoder.mask_token.numpy(), (3, 16, 16)).copy()
    for row in range(3):
        full[row, visible[row]] = tokens[row, 1:]
    expected = decoder.to_pixels(decoder.blocks(full + decoder.positions))
    np.testing.assert_allclose(out, expected, atol=1e-5)
