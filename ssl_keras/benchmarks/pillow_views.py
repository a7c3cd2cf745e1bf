"""The recipes in Pillow, one image at a time in worker processes: a yardstick for the speed of `ssl_keras.views`.

This is the work that a PyTorch user's data loader does: torchvision's transforms over Pillow images, each made a
normalized tensor, a batch of them collated in shared memory. Draws come from the standard library, so it lacks what
torchvision spends on its own. Blur is Pillow's, three box filters whose time does not depend on the kernel's length: it
is not cut where a recipe cuts it. Nothing but numpy and Pillow is imported, so that workers start quickly.
"""

import math
import multiprocessing
import random
import time

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

BATCH = 32  # views of a kind that a worker collates at a time
MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def make_view(image: Image.Image, policy: dict) -> Image.Image:
    """Makes one view, of `policy["size"]` pixels.

    Args:
        image: an RGB image.
        policy: the fields of a `Policy`, as a dict.
    """
    image = image.resize((policy["size"],) * 2, FILTERS[policy["interpolation"]], box=_crop(image, policy))
    if random.random() < policy["flip"]:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < policy["jitter"]:
        operations = [_brightness, _contrast, _saturation, _hue]
        random.shuffle(operations)
        for operation in operations:
            image = operation(image, policy)
    if random.random() < policy["grayscale"]:
        image = image.convert("L").convert("RGB")
    if random.random() < policy["blur"]:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(*policy["blur_sigma"])))
    if random.random() < policy["solarize"]:
        image = ImageOps.solarize(image, round(255 * policy["solarize_threshold"]))
    return image


def to_tensor(image: Image.Image) -> np.ndarray:
    """A view as a network of PyTorch takes it: float32 [3, s, s], normalized by ImageNet's statistics."""
    pixels = np.array(image)  # a copy, as a tensor that may be written to needs it
    x = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32)
    x /= 255.0
    x -= MEAN
    x /= STD
    return x


def _crop(image, policy):
    """The box (left, top, right, bottom), by torchvision's ten tries."""
    width, height = image.size
    if policy["crop_area"] is None:
        return 0, 0, width, height
    for _ in range(10):
        area = width * height * random.uniform(*policy["crop_area"])
        aspect = math.exp(random.uniform(*map(math.log, policy["crop_aspect"])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return left, top, left + w, top + h
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2


def _factor(strength):
    return random.uniform(max(0.0, 1.0 - strength), 1.0 + strength)


def _brightness(image, policy):
    return ImageEnhance.Brightness(image).enhance(_factor(policy["brightness"]))


def _contrast(image, policy):
    return ImageEnhance.Contrast(image).enhance(_factor(policy["contrast"]))


def _saturation(image, policy):
    return ImageEnhance.Color(image).enhance(_factor(policy["saturation"]))


def _hue(image, policy):
    hue, saturation, value = image.convert("HSV").split()
    shift = np.uint8(int(random.uniform(-policy["hue"], policy["hue"]) * 255) % 256)
    hue = Image.fromarray(np.asarray(hue) + shift)
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


class PillowWorkers:
    """Worker processes that make views of the same images, for timing.

    Their views reach this process as the workers of a data loader hand them over: as float batches in shared memory.

    Args:
        canvases: uint8 [N, S, S, 3].
        largest_view: side in pixels of the largest view to be made.
        workers: how many processes.
    """

    def __init__(self, canvases: np.ndarray, largest_view: int, workers: int = 2):
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        self.cpu_seconds = 0.0
        for k in range(workers):
            ours, theirs = context.Pipe()
            batch = context.RawArray("f", BATCH * 3 * largest_view**2)
            process = context.Process(target=_work, args=(theirs, batch, canvases[k::workers], k), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()  # ready

    def make(self, policies: list[dict], images: int) -> int:
        """Makes a view per policy of each of `images` images, shared among the workers; returns how many views.

        `cpu_seconds` is then the processor time that the workers spent on them.
        """
        share = -(-images // len(self._pipes))
        for pipe in self._pipes:
            pipe.send((policies, share))
        views, seconds = zip(*(pipe.recv() for pipe in self._pipes))
        self.cpu_seconds = sum(seconds)
        return sum(views)

    def close(self):
        """Ends the workers."""
        for pipe, process in zip(self._pipes, self._processes):
            pipe.send(None)
            process.join()


def _work(pipe, buffer, canvases, seed):
    random.seed(seed)
    pipe.send("ready")
    while (job := pipe.recv()) is not None:
        policies, count = job
        start = time.process_time()
        for first in range(0, count, BATCH):
            images = [Image.fromarray(canvases[k % len(canvases)]) for k in range(first, min(first + BATCH, count))]
            for policy in policies:
                views = [to_tensor(make_view(image, policy)) for image in images]
                shape = (len(views), *views[0].shape)
                np.stack(views, out=np.frombuffer(buffer, np.float32, math.prod(shape)).reshape(shape))
        pipe.send((count * len(policies), time.process_time() - start))
