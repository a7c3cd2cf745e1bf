"""SimCLR as lightly's users train it, for a comparison: run by a Python that has lightly and PyTorch.

Nothing of ssl_keras is imported. Network, batch, head and loss are those of the run beside it; views, loader, optimizer
and schedule those of lightly's own CIFAR-10 benchmark. Requests and answers are lines of JSON.
"""

import itertools
import json
import sys
import time

import numpy as np
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch import nn


class ConvNorm(nn.Sequential):
    """Convolution without bias and batch norm."""

    def __init__(self, channels, filters, kernel, stride=1):
        convolution = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(filters))


class Block(nn.Module):
    """A residual block of two 3×3 convolutions."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.first, self.second = ConvNorm(channels, filters, 3, stride), ConvNorm(filters, filters, 3)
        same = stride == 1 and channels == filters
        self.shortcut = nn.Identity() if same else ConvNorm(channels, filters, 1, stride)

    def forward(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def resnet8(channels, widths):
    """Stem, a block in each of three stages, pooling: the `resnet8` of the run beside it."""
    blocks = [Block(a, b, 1 if k == 0 else 2) for k, (a, b) in enumerate(zip((widths[0], *widths), widths))]
    return nn.Sequential(ConvNorm(channels, widths[0], 3), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Views(torch.utils.data.Dataset):
    """Two views of each image."""

    def __init__(self, images):
        self.images = [Image.fromarray(image) for image in images]
        self.transform = SimCLRTransform(input_size=images.shape[1], cj_strength=0.5, gaussian_blur=0.0)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index])


class Run:
    """A training run.

    Args:
        asked: "images" (path of uint8 [N, S, S, C] in .npy), "widths", "head" (hidden and last dimension),
            "temperature", "batch_size", "epochs" (of the schedule), "precision", "seed", "workers" (of the loader).
    """

    def __init__(self, asked):
        torch.manual_seed(asked["seed"])
        images = np.load(asked["images"])
        self.batch_size, self.epochs = asked["batch_size"], asked["epochs"]
        self.encoder = resnet8(images.shape[-1], asked["widths"])
        self.head = SimCLRProjectionHead(asked["widths"][-1], *asked["head"])
        self.loss = NTXentLoss(temperature=asked["temperature"])
        rate = 6e-2 * self.batch_size / 128
        parameters = [*self.encoder.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=5e-4)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, self.epochs)
        self.loader = torch.utils.data.DataLoader(
            Views(images),
            self.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=asked["workers"],
            persistent_workers=asked["workers"] > 0,
        )
        self.bfloat16 = asked["precision"] == "mixed_bfloat16"
        self.batches = itertools.chain.from_iterable(itertools.repeat(self.loader))

    def step(self, views):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            loss = self.loss(*(self.head(self.encoder(view)) for view in views))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def speed(self, seconds):
        """Images per second of the whole loop, after a first step."""
        self.step(next(self.batches))
        start, steps = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            self.step(next(self.batches))
            steps += 1
        return {"per_second": steps * self.batch_size / (time.perf_counter() - start)}

    def train(self):
        """All epochs."""
        for _ in range(self.epochs):
            for views in self.loader:
                loss = self.step(views)
            self.schedule.step()
        return {"loss": loss}

    @torch.no_grad()
    def embed(self, source, target):
        """Writes the features [N, D] of the images in a .npy file to another one."""
        self.encoder.eval()
        images = torch.from_numpy(np.load(source)).permute(0, 3, 1, 2)
        mean, std = (torch.tensor(x).view(-1, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        parts = [self.encoder((part / 255 - mean) / std) for part in images.split(512)]
        np.save(target, torch.cat(parts).numpy())
        return {"written": target}


def main():
    run = Run(json.loads(sys.stdin.readline()))
    print(json.dumps({"parameters": sum(p.numel() for p in run.encoder.parameters())}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(getattr(run, asked.pop("do"))(**asked)), flush=True)


if __name__ == "__main__":
    main()
