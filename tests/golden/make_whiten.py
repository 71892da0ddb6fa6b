#!/usr/bin/env python3
"""Makes arrays/whiten.safetensors with PyTorch: whitening of image patches as airbench94 starts with it.

The images are bytes, closed_form_labels(0, "pixels", ..., 256) smoothed along the rows; W is the whitening's weight [2d,C,2,2].
Signs and order of eigenvectors are free, so what is stored does not depend on them: W^T W [d,d].
"""
import os

import torch
import torch.nn.functional as F

import safetensors_file
from closed_form import closed_form_labels

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGES, HEIGHT, WIDTH, CHANNELS, KERNEL = 150, 9, 7, 3, 2
MEAN, STD, EPS = 0.5, 0.25, 5e-4


def images():
    raw = closed_form_labels(0, "pixels", IMAGES * HEIGHT * WIDTH * CHANNELS, 256).reshape(IMAGES, HEIGHT, WIDTH, CHANNELS)
    smooth = raw.copy()
    for x in range(1, WIDTH):
        smooth[:, :, x] = (3 * smooth[:, :, x - 1] + raw[:, :, x]) // 4
    return torch.from_numpy(((smooth / 255 - MEAN) / STD).transpose(0, 3, 1, 2).copy())


def main():
    patches = F.unfold(images(), KERNEL)  # [N,C*k*k,positions], each in the order [C,kH,kW]
    flat = patches.transpose(1, 2).reshape(-1, patches.shape[1])
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    scaled = vectors.T / torch.sqrt(values + EPS)[:, None]
    weight = torch.cat((scaled, -scaled))
    gram = weight.T @ weight
    path = os.path.join(HERE, "arrays", "whiten.safetensors")
    safetensors_file.write(path, {"gram": ("F32", gram.shape, gram.numpy().astype("<f4").tobytes())})
    print(f"whiten.safetensors: eigenvalues from {values[-1]:.3g} to {values[0]:.3g}")


if __name__ == "__main__":
    main()
