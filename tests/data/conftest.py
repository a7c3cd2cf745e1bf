"""Where the tests of real images find them."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images: folder_example (with broken and unusual files) and tfds/cifar10."""
    folder = os.environ.get("SSL_KERAS_TEST_DATA")
    if not folder:
        pytest.skip("SSL_KERAS_TEST_DATA is not set: it names the folder of real test images")
    return Path(folder)
