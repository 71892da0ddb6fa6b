#!/usr/bin/env python3
"""Makes arrays/methods_layers.safetensors and methods_pixels.safetensors with PyTorch: every heat-map method (heat_methods.py), signed.

The network is a ReLU ResNet-18 of width 8 for 32x32 images: weights by closed forms, and running statistics of its own activations ("state/"),
so that they are of size 1 at every depth, as in a trained network. Each method and layer has three images, each with a class; which ones, the
file says ("METHOD/images": numbers of closed forms; class (3 i + 1) % 10). An image is taken if rounding decides nothing in it: no ReLU input
of any of the method's passes within KINK (of many passes: KINK_MANY) of 0, unless the method knows no gradient; PyTorch's single- and
double-precision maps agree to AGREEMENT of the map's maximum, signed and behind the ReLU; the map has a positive part that counts; Ablation-CAM
divides by no small logit; Eigen-CAM's first singular value and its sign are clear.
"""
import functools

import numpy as np
import torch

import heat_methods as methods
from closed_form import closed_form
from draws import RNG_ATTACK, RNG_EXPLAIN, Stream
from make_explain import MEAN, STD
from make_resnet import CLASSES, KINK, LAYERS, described, network, save

SEED, WIDTH, SIZE, IMAGES = 7, 8, 32, 3
KINK_MANY = 3e-6
AGREEMENT = 1e-5    # of the map's maximum
POSITIVE = 0.3      # of the largest magnitude, at least
LOGIT = 0.6         # that Ablation-CAM divides by
GAP, SIDES = 0.9, 0.9  # Eigen-CAM: second / first singular value, smaller / larger end of the map
DRAWS = 5           # the seed of what methods draw
SAMPLES, SIGMA = 16, 0.1
STEPS = 32
EPS, ATTACK_STEPS, ATTACK_STREAM = 0.5, 4, 2  # of pgd_l2; the stream of the split "test"
ITEM = 11           # the image's number, which keys what is drawn
CANDIDATES = 20000
FUSED = (("gradcam", ("layer3", "layer4")), ("layercam", ("layer2", "layer3", "layer4")), ("eigencam", ("layer4", "layer2")))
FLIPPED = (("gradcam", "layer3"), ("scorecam", "layer4"))


def image(i, dtype):
    return torch.from_numpy(closed_form(SEED, f"images/{i}", (1, 3, SIZE, SIZE), 0.0, 2.0)).to(dtype)


def class_of(i):
    return (3 * i + 1) % CLASSES


def models():
    """In double and in single precision, with the same single-precision weights and statistics."""
    exact = network(SEED, WIDTH, torch.float64)
    for module in exact.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    x = torch.from_numpy(closed_form(SEED, "statistics", (32, 3, SIZE, SIZE), 0.0, 2.0)).double()
    with torch.no_grad():
        exact.train()(x)
        exact = exact.eval().float().double()
    single = network(SEED, WIDTH, torch.float32)
    single.load_state_dict(exact.state_dict())
    for model in (exact, single):
        for p in model.parameters():
            p.requires_grad_(False)
    # the layers' gradients need a graph: the stem's weights begin it
    for model in (exact, single):
        model.conv1.weight.requires_grad_(True)
    return exact, single.eval()


class Near(Exception):
    """A ReLU input is nearer to 0 than it may be."""


class Watch:
    """All ReLU inputs of a model."""

    def __init__(self, model):
        self.bound, self.nearest = 0, float("inf")
        for module in model.modules():
            if isinstance(module, torch.nn.ReLU):
                module.register_forward_pre_hook(lambda _, inputs: self.seen(inputs[0].detach().abs().min().item()))

    def begin(self, bound):
        self.bound, self.nearest = bound, float("inf")

    def seen(self, distance):
        self.nearest = min(self.nearest, distance)
        if distance < self.bound:
            raise Near


def gap_of(rounded, exact):
    return ((rounded - exact).abs().max() / exact.abs().max()).item()


# ---- the methods by name: the map of image x for class k, and whether something else speaks against the image ----

def by_gradient(name):
    def make(model, layer, x, k):
        return methods.GRADIENT[name](*methods.activation_and_gradient(model, layer, x, k)), True
    return make


def activation(model, layer, x, k):
    return methods.activation_and_gradient(model, layer, x, k)[0]


def by_cam(model, layer, x, k):
    return methods.cam(model, activation(model, layer, x, k), k), True


def by_eigen(model, layer, x, k):
    m, second, other = methods.eigencam(activation(model, layer, x, k))
    return m, second < GAP and other < SIDES


def by_score(model, layer, x, k):
    return methods.scorecam(model, activation(model, layer, x, k), x, k), True


def by_ablation(model, layer, x, k):
    m, y = methods.ablationcam(model, layer, activation(model, layer, x, k), x, k)
    return m, abs(y) > LOGIT


def by_guided(model, layer, x, k):
    return methods.guided_gradcam(model, layer, x, k), True


def by_input(model, layer, x, k):
    return methods.input_gradient(model, x, k), True


def channels(values, x):
    return torch.tensor(values, dtype=torch.float32).to(x.dtype)[None, :, None, None]


@functools.lru_cache(maxsize=None)
def drawn(purpose, epoch):
    """Normal numbers of one stream, [1,C,H,W], drawn in our order: pixel by pixel, channels beside each other."""
    stream = Stream(DRAWS, 0, epoch, ITEM, purpose)
    n = np.array([stream.normal() for _ in range(SIZE * SIZE * 3)], dtype=np.float32).reshape(SIZE, SIZE, 3)
    return torch.from_numpy(n).permute(2, 0, 1)[None]


def by_smooth(model, layer, x, k):
    noise = torch.cat([drawn(RNG_EXPLAIN, sample) for sample in range(SAMPLES)]).to(x.dtype)
    return methods.smoothgrad(model, x, k, SIGMA / channels(STD, x) * noise), True


def by_integrated(model, layer, x, k):
    return methods.integrated_gradients(model, x, torch.zeros_like(x), k, STEPS), True


def by_delta(model, layer, x, k):
    mean, std = channels(MEAN, x), channels(STD, x)
    start = drawn(RNG_ATTACK, ATTACK_STREAM).to(x.dtype)
    return methods.delta(model, x, k, mean, std, EPS * start / start.norm(), EPS, ATTACK_STEPS), True


def by_fusing(method, layers):
    def make(model, layer, x, k):
        return methods.fused([LAYER_METHODS[method](model, name, x, k)[0] for name in layers]), True
    return make


def by_flipping(method, signed):
    """The mean of the map and of the mirrored image's, mirrored back."""
    def make(model, layer, x, k):
        maps = LAYER_METHODS[method](model, layer, x, k)[0], LAYER_METHODS[method](model, layer, x.flip(3), k)[0].flip(1)
        return sum(m if signed else m.relu() for m in maps) / 2, True
    return make


LAYER_METHODS = {**{name: by_gradient(name) for name in methods.GRADIENT}, "eigencam": by_eigen, "scorecam": by_score, "ablationcam": by_ablation}
PIXEL_METHODS = {"input_gradient": by_input, "smoothgrad": by_smooth, "integrated_gradients": by_integrated, "delta": by_delta}
MANY = {"smoothgrad", "integrated_gradients", "delta"}  # passes, whose ReLUs all count
FORWARD = {"scorecam", "ablationcam", "eigencam", "cam"}  # no gradient: no kinks


def judge(exact, single, watch, bound, make, layer, i):
    """The map of image i, the nearest ReLU input, and how far apart the precisions are; None if it does not do."""
    watch.begin(bound)
    try:
        m, fine = make(exact, layer, image(i, torch.float64), class_of(i))
    except Near:
        return None
    if not fine or m.max() < POSITIVE * m.abs().max():
        return None
    rounded = make(single, layer, image(i, torch.float32), class_of(i))[0].double()
    gap = max(gap_of(rounded, m), gap_of(rounded.relu(), m.relu()))
    return (m.detach(), watch.nearest, gap) if gap <= AGREEMENT else None


def choose(exact, single, watch, name, make, layer, key):
    """The first three images that do: numbers and maps."""
    chosen = {}
    bound = 0 if name in FORWARD else KINK_MANY if name in MANY else KINK
    for i in range(CANDIDATES):
        found = judge(exact, single, watch, bound, make, layer, i)
        if found is not None:
            chosen[i] = found
        if len(chosen) == IMAGES:
            break
    else:
        raise SystemExit(f"{key}: no images do")
    maps, kinks, gaps = zip(*chosen.values())
    kinks = "" if name in FORWARD else f"; nearest ReLU input {min(kinks):.2g}"
    print(f"{key}: images {' '.join(map(str, chosen))}{kinks}; fp32 and fp64 maps agree to {max(gaps):.2g}", flush=True)
    return {key + "/images": np.array(list(chosen)), key: torch.stack(maps)}


def main():
    exact, single = models()
    args = exact, single, Watch(exact)
    meta = dict(seed=SEED, draws=DRAWS, **described(WIDTH, IMAGES, SIZE, "relu"))
    results = {"state/" + name: value for name, value in exact.state_dict().items() if "running" in name}
    for name, make in LAYER_METHODS.items():
        for layer in LAYERS:
            results.update(choose(*args, name, make, layer, f"{name}/{layer}"))
    results.update(choose(*args, "cam", by_cam, "layer4", "cam/layer4"))
    for method, layers in FUSED:
        key = f"fused/{method}/{','.join(layers)}"
        results.update(choose(*args, method, by_fusing(method, layers), None, key))
    for method, layer in FLIPPED:
        for signed in (False, True):
            key = f"flips/{method}/{layer}/{'signed' if signed else 'rectified'}"
            results.update(choose(*args, method, by_flipping(method, signed), layer, key))
    args[2].begin(0)
    with torch.no_grad():
        results["probabilities"] = torch.cat([exact(image(int(i), torch.float64)).softmax(1) for i in results["gradcam/layer3/images"]])
    save("methods_layers", results, **meta)
    results = {}
    for layer in LAYERS:
        results.update(choose(*args, "guided_gradcam", by_guided, layer, f"guided_gradcam/{layer}"))
    for name, make in PIXEL_METHODS.items():
        results.update(choose(*args, name, make, None, name))
    save("methods_pixels", results, **meta)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
