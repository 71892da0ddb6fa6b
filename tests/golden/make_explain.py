#!/usr/bin/env python3
"""Makes arrays/attack_*.safetensors, explain_maps.safetensors and explain_composed.safetensors with PyTorch.

attack_NORM: attacks on a GELU ResNet-18 in eval mode from a given start (closed form), towards labels and towards the network's own
prediction: z, |g| and delta of the first step, and delta at the end. A seed is taken if PyTorch's single- and double-precision ends
towards labels agree to AGREEMENT (a sign that rounding turns would not). Towards the prediction the gradient is a difference of nearly equal
softmaxes, of which single precision keeps three digits: those arrays are for the double-precision build.

explain_maps: Grad-CAM and HiResCAM at three layers for every class, CAM at the last one, after the ReLU, of a ReLU ResNet-18.

explain_composed: maps stored as half floats with their maxima, read back, normalised, resized, and composed with images in every mode.
"""
import numpy as np
import torch
import torch.nn.functional as F

from closed_form import closed_form, closed_form_labels
from make_models import thinned
from make_resnet import AGREEMENT, KINK, LAYERS, batch, described, network, relative, save, watch_kinks

MEAN, STD = (0.5, 0.45, 0.4), (0.25, 0.2, 0.15)  # images are in -2..2, so pixels are in 0..1
EVERY = 5


def channels(values, dtype):
    # single precision first: that is how a network keeps them
    return torch.tensor(values, dtype=torch.float32).to(dtype)[None, :, None, None]


def attack(seed, norm, eps, steps, soft, width, images, size, dtype):
    """As in method.md: the steps' first z, |g| and delta, and the last delta."""
    model = network(seed, width, dtype, "gelu").eval()
    x, labels = batch(seed, 0, images, size, dtype)
    mean, std = channels(MEAN, dtype), channels(STD, dtype)
    low, high = -(x * std + mean), 1 - (x * std + mean)
    target = F.one_hot(labels, 10).to(dtype) if not soft else model(x).softmax(1).detach()
    eta = 2.5 * eps / steps
    n = torch.from_numpy(closed_form(seed, "start", tuple(x.shape), 0.0, 1.0)).to(dtype)
    delta = eps * (n if norm == "linf" else n / n.flatten(1).norm(dim=1)[:, None, None, None])
    delta = torch.minimum(torch.maximum(delta.float().to(dtype), low), high)
    results = {}
    for step in range(steps):
        delta = delta.detach().requires_grad_()
        loss = -(target * model(x + delta / std).log_softmax(1)).sum()
        g, = torch.autograd.grad(loss, delta)
        length = g.flatten(1).norm(dim=1)
        if norm == "linf":
            z = delta.detach() + eta * g.sign()
            delta = z.clamp(-eps, eps)
        else:
            z = delta.detach() + eta * g / length[:, None, None, None]
            far = z.flatten(1).norm(dim=1)
            delta = z * (eps / far).clamp(max=1)[:, None, None, None]
        clipped = torch.minimum(torch.maximum(delta, low), high)
        if step == 0:
            results.update({"first/norm": length, "first/moved": z, "first/delta": clipped, "clipped": (clipped != delta).double().mean()})
        delta = clipped
    results["delta"] = delta
    return results


def make_attack(name, norm, eps, steps, width=4, images=18, size=8):
    for seed in range(100):
        results = {}
        for target in ("label", "prediction"):
            args = (seed, norm, eps, steps, target == "prediction", width, images, size)
            exact, rounded = attack(*args, torch.float64), attack(*args, torch.float32)
            if target == "label":
                gap = max(relative(rounded[key], exact[key]) for key in ("first/norm", "first/delta", "delta"))
            results.update({f"{target}/{key}": value for key, value in exact.items()})
        if gap <= AGREEMENT and results["label/clipped"] > 0.01:
            break
    else:
        raise SystemExit(f"{name}: no seed does")
    print(f"{name}: seed {seed}: {images} images of {size}x{size}, eps {eps}, {steps} steps; {results['label/clipped']:.1%} of the first step's "
          f"numbers are clipped; fp32 and fp64 deltas agree to {gap:.2g}")
    results = {key: thinned(key, value, EVERY) for key, value in results.items() if "clipped" not in key}
    save(name, results, seed=seed, every=EVERY, steps=steps, eps=eps, **described(width, images, size, "gelu"))


def maps(seed, width, images, size, dtype):
    """{method/layer: [N,K,h,w]} after the ReLU."""
    model = network(seed, width, dtype).eval()
    nearest = watch_kinks(model)
    x, _ = batch(seed, 0, images, size, dtype)
    kept = {}
    for layer in LAYERS:
        getattr(model, layer).register_forward_hook(lambda _, inputs, output, layer=layer: kept.__setitem__(layer, output))
    logits = model(x)
    results = {f"{method}/{layer}": [] for method in ("gradcam", "hirescam") for layer in LAYERS}
    for k in range(10):
        grads = torch.autograd.grad(logits[:, k].sum(), [kept[layer] for layer in LAYERS], retain_graph=True)
        for layer, g in zip(LAYERS, grads):
            results["gradcam/" + layer].append((g.mean((2, 3), keepdim=True) * kept[layer]).sum(1).relu())
            results["hirescam/" + layer].append((g * kept[layer]).sum(1).relu())
    results = {key: torch.stack(value, 1) for key, value in results.items()}
    results["cam/layer4"] = torch.einsum("kc,nchw->nkhw", model.fc.weight, kept["layer4"]).relu()
    return results, logits, min(nearest)


def make_maps(width=4, images=18, size=16):
    for seed in range(2000):
        results, logits, kink = maps(seed, width, images, size, torch.float64)
        if kink >= KINK:
            break
    else:
        raise SystemExit("explain_maps: no seed does")
    print(f"explain_maps: seed {seed}: width {width}, {images} images of {size}x{size}; nearest ReLU input {kink:.2g}")
    results["logits"] = logits
    save("explain_maps", results, seed=seed, **described(width, images, size, "relu"))


def strength(kind, values, top, size):
    """What R multiplies with, and m: [N,K or C,H,W], from what a file of maps holds."""
    if kind == "delta":
        return values.abs() * top[:, None, None, None] / (top[:, None, None, None] + 1e-12), values * top[:, None, None, None]
    raw = values * top[:, :, None, None]
    low = raw.amin((2, 3), keepdim=True)
    h = (raw - low) / (1e-7 + (raw - low).amax((2, 3), keepdim=True))
    h = F.interpolate(h, size=(size, size), mode="bilinear", align_corners=False)
    return h, h


def compose(mode, f, x, h, m, delta):
    weight = {"absolute": h, "signed": m, "H": h, "1+H": 1 + h, "mix": f + (1 - f) * h}[mode]
    return x * weight if delta else torch.cat([x * weight[:, k:k + 1] for k in range(weight.shape[1])], 1)


def make_composed(images=3, size=9, height=4, width=3, classes=3, f=0.3):
    pixels = torch.from_numpy(closed_form_labels(1, "pixels", images * size * size * 3, 256).reshape(images, size, size, 3)).double()
    x = (pixels.permute(0, 3, 1, 2) / 255 - channels(MEAN, torch.float64)) / channels(STD, torch.float64)
    results = {}
    for kind, shape in (("heat", (images, classes, height, width)), ("delta", (images, 3, size, size))):
        raw = closed_form(1, kind, shape, 0.0, 1.0 if kind == "delta" else 2.0)
        raw = raw if kind == "delta" else np.maximum(raw, 0)
        top = np.abs(raw).max((1, 2, 3) if kind == "delta" else (2, 3), keepdims=True)
        half = (raw / top).astype(np.float16)
        results[kind + "/half"] = half.astype(np.float32)
        h, m = strength(kind, torch.from_numpy(half).double(), torch.from_numpy(top.reshape(top.shape[:1 if kind == "delta" else 2])).double(), size)
        for mode in ("absolute", "signed", "H", "1+H", "mix"):
            results[f"{kind}/{mode}"] = compose(mode, f, x, h, m, kind == "delta")
    save("explain_composed", results, images=images, size=size, height=height, width=width, classes=classes)


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_attack("attack_l2", "l2", eps=2.0, steps=3)
    make_attack("attack_linf", "linf", eps=0.0625, steps=3)
    make_maps()
    make_composed()
