#!/usr/bin/env python3
"""Makes arrays/quality.safetensors with numpy and PyTorch: what the metrics of core/quality say of heat maps of a ResNet-18.

Images, weights and raw maps are closed forms. A seed is taken if no ReLU input is near 0 (see make_resnet.py). The order of the pixels goes
into the file: at the border rounding alone decides between pixels. ROAD is without its noise here. Missing pixels are solved for by a dense
matrix.
"""
import numpy as np
import torch
import torch.nn.functional as F

from closed_form import closed_form, closed_form_labels
from make_resnet import KINK, batch, described, network, save, watch_kinks

WIDTH, IMAGES, SIZE, RAW, STEP = 4, 4, 16, 5, 32
SHOWN = ("0", "8", "16", "9", "17")  # pictures of ROAD that are kept


def raw_maps(seed, dtype):
    return torch.from_numpy(closed_form(seed, "maps", (IMAGES, RAW, RAW), 0.3, 1.0)).to(dtype)


def scaled(maps):
    low = maps.amin((1, 2), keepdim=True)
    return (maps - low) / (1e-7 + (maps - low).amax((1, 2), keepdim=True))


def prepared(raw):
    """As a user sees them: [N,H,W] in 0..1."""
    return scaled(F.interpolate(scaled(raw.relu())[:, None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0])


def order_of(saliency):
    return np.argsort(-saliency.numpy().ravel(), kind="stable")


def blurred(image):
    x = torch.arange(-3, 4, dtype=image.dtype)
    line = torch.exp(-x ** 2 / 8)
    kernel = (line[:, None] * line[None, :] / line.sum() ** 2)[None, None].repeat(3, 1, 1, 1)
    return F.conv2d(F.pad(image[None], (3, 3, 3, 3), mode="reflect"), kernel, groups=3)[0]


def filled(image, out):
    """Without the pixels `out`, solved for as in ROAD."""
    pixels = image.reshape(3, -1).numpy().copy()
    unknown = {int(p): k for k, p in enumerate(out)}
    a, b = np.zeros((len(out), len(out))), np.zeros((len(out), 3))
    for p, k in unknown.items():
        for dy, dx in ((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx):
            y, x = p // SIZE + dy, p % SIZE + dx
            if not (0 <= y < SIZE and 0 <= x < SIZE):
                continue
            weight = 1 / 12 if dy and dx else 1 / 6
            a[k, k] += weight
            if y * SIZE + x in unknown:
                a[k, unknown[y * SIZE + x]] -= weight
            else:
                b[k] += weight * pixels[:, y * SIZE + x]
    pixels[:, list(unknown)] = np.linalg.solve(a, b).T
    return torch.from_numpy(pixels).reshape(3, SIZE, SIZE)


def area(scores):
    return (scores.sum() - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1)


def ranks(values):
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[group]


def ssim(a, b):
    x = torch.arange(-5, 6, dtype=a.dtype)
    line = torch.exp(-x ** 2 / (2 * 1.5 ** 2))
    kernel = (line[:, None] * line[None, :])[None, None]

    def mean(values):
        return F.conv2d(values[None, None], kernel, padding=5) / F.conv2d(torch.ones_like(values)[None, None], kernel, padding=5)

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma ** 2, mean(b * b) - mb ** 2, mean(a * b) - ma * mb
    return ((2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma ** 2 + mb ** 2 + 1e-4) * (va + vb + 9e-4))).mean()


def measure(seed):
    model = network(seed, WIDTH, torch.float64).eval()
    nearest = watch_kinks(model)
    images, _ = batch(seed, 0, IMAGES, SIZE, torch.float64)
    raw = raw_maps(seed, torch.float64)
    saliency = prepared(raw)
    masks = closed_form_labels(seed, "masks", IMAGES * SIZE * SIZE, 2).reshape(IMAGES, SIZE, SIZE)
    left, right = (torch.from_numpy(closed_form_labels(seed, side, IMAGES * SIZE * SIZE, 64) / 64).reshape(IMAGES, SIZE, SIZE)
                   for side in ("left", "right"))  # with many equal numbers
    right = (left + right) / 2
    results = {key: [] for key in ("deletion_auc", "insertion_auc", "average_drop", "increase", "energy_in_mask", "road", "spearman", "ssim",
                                   "score", "blurred", "order", *("road/" + s for s in SHOWN))}
    with torch.no_grad():
        for image, heat, mask, a, b in zip(images, saliency, masks, left, right):
            classes = model(image[None]).argmax(1)
            order = order_of(heat)

            def score(pictures):
                return model(torch.stack(pictures)).softmax(1)[:, classes[0]].numpy()

            whole, blur = score([image])[0], blurred(image)
            gone, come, road = [], [], []
            for count in range(0, SIZE * SIZE + 1, STEP):
                kept = torch.ones(SIZE * SIZE, dtype=torch.bool)
                kept[order[:count]] = False
                kept = kept.reshape(SIZE, SIZE)
                gone.append(torch.where(kept, image, torch.zeros(())))
                come.append(torch.where(kept, blur, image))
            for share in range(1, 10):
                count = (SIZE * SIZE * share + 5) // 10
                road += [filled(image, order[:count]), filled(image, order[len(order) - count:])]
            weighted = score([image * heat])[0]
            halves = score(road)
            results["score"].append(whole)
            results["deletion_auc"].append(area(score(gone)))
            results["insertion_auc"].append(area(score(come)))
            results["average_drop"].append(max(0, whole - weighted) / whole)
            results["increase"].append(float(weighted > whole))
            results["energy_in_mask"].append((heat.numpy() * mask).sum() / heat.numpy().sum())
            results["road"].append(((halves[1::2] - halves[0::2]) / 2).mean())
            results["spearman"].append(np.corrcoef(ranks(a.numpy().ravel()), ranks(b.numpy().ravel()))[0, 1])
            results["ssim"].append(ssim(a, b))
            results["blurred"].append(blur)
            results["order"].append(order)
            for s in SHOWN:
                results["road/" + s].append(road[int(s)])
    return {"map": saliency, **{key: np.stack([np.asarray(v) for v in value]) for key, value in results.items()}}, min(nearest)


def main():
    for seed in range(3000):
        results, kink = measure(seed)
        if kink >= KINK / 10:  # scores alone, no gradients: a kink moves them little
            break
    else:
        raise SystemExit("quality: no seed does")
    print(f"quality: seed {seed}: width {WIDTH}, {IMAGES} images of {SIZE}x{SIZE}; nearest ReLU input {kink:.2g}")
    save("quality", results, seed=seed, raw=RAW, **described(WIDTH, IMAGES, SIZE, "relu"))


if __name__ == "__main__":
    main()
