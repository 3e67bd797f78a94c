#!/usr/bin/env python3
"""Classifies scikit-learn's handwritten digits (8 x 8 pixels) with an MLP; seconds on any machine.

Prints the accuracy on a fifth of the images, which training never sees; exits with 1 below 97 %.
"""

from __future__ import annotations

import sys

import flambeau
from flambeau import nn
from flambeau.nn import functional as F
from flambeau.optim import AdamW
from flambeau.optim.lr_scheduler import CosineAnnealingLR
from flambeau.utils.data import DataLoader, TensorDataset, random_split
from sklearn.datasets import load_digits

EPOCHS = 30


def main() -> int:
    flambeau.manual_seed(0)
    digits = load_digits()
    images = flambeau.from_numpy(digits.data).float() / 16
    labels = flambeau.from_numpy(digits.target)
    train, test = random_split(TensorDataset(images, labels), [0.8, 0.2])
    model = nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.4),
        nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.4),
        nn.Linear(256, 10),
    )  # fmt: skip
    optimizer = AdamW(model.parameters(), lr=3e-3)
    loader = DataLoader(train, batch_size=64, shuffle=True)
    scheduler = CosineAnnealingLR(optimizer, EPOCHS * len(loader))
    for epoch in range(1, EPOCHS + 1):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item()
        if epoch % 5 == 0:
            print(f"epoch {epoch:2}  training loss {total / len(loader):.4f}")
    model.eval()
    with flambeau.no_grad():
        x, y = next(iter(DataLoader(test, batch_size=len(test))))
        accuracy = (model(x).argmax(1) == y).float().mean().item()
    print(f"test accuracy {accuracy:.2%} of {len(test)} images")
    return 0 if accuracy >= 0.97 else 1


if __name__ == "__main__":
    sys.exit(main())
