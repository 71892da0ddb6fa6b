#!/usr/bin/env python3
"""Makes arrays/ops_*.safetensors, one for each operation, with PyTorch from the table ops.cases: outputs and gradients.

Everything is computed in double precision from closed_form(0, CASE/NAME): inputs `x` (and `y`, `z`, ...), the upstream gradient
`grad`, weights and running statistics; random operations get the numbers that ours draw (draws.py). Arrays of more than 1,000
numbers keep every 31st of them.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

import draws
import safetensors_file
from closed_form import closed_form, closed_form_labels, closed_form_state

HERE = os.path.dirname(os.path.abspath(__file__))
WHOLE, EVERY = 1000, 31
INPUTS = "xyzuv"
SEED, NODE, STEP = (1 << 33) + 5, 70000, 9  # of what is drawn; as in test_golden_ops.c


def array(case, name, shape, offset=0, scale=1):
    return torch.from_numpy(closed_form(0, f"{case}/{name}", shape, offset, scale)).double().requires_grad_()


def state(case, name, shape):
    return torch.from_numpy(closed_form_state(0, f"{case}/{name}", shape)).double().requires_grad_()


def streams(x):
    return draws.streams(SEED, NODE, STEP, len(x))


def by_image(numbers, x):
    """One number an image, to multiply x with."""
    return torch.tensor(numbers, dtype=torch.double).reshape(-1, *[1] * (x.dim() - 1))


def drawn(shape, draw):
    """Numbers of shape [N,C,H,W] or [N,C], drawn from each image's stream in the order [H,W,C]."""
    n, c, *pixels = shape
    flat = np.array([[draw(stream) for _ in range(int(np.prod(shape[1:])))] for stream in draws.streams(SEED, NODE, STEP, n)])
    return torch.from_numpy(np.moveaxis(flat.reshape(n, *pixels, c), -1, 1).copy())


# Each takes the case, its parameters and the inputs and returns the output, and what is kept beside the gradients; the leaves
# that want a gradient are in `leaves`.

def conv2d(case, p, x, leaves, prefix=""):
    channels, height, padding, groups = p["channels"], p["kernel"], p.get("padding", 0), p.get("groups", 1)
    weight = state(case, prefix + "weight", (channels, x.shape[1] // groups, height, p.get("kernel_width", height)))
    if p.get("bias"):
        leaves[prefix + "bias"] = state(case, prefix + "bias", (channels,))
    if not p.get("frozen"):
        leaves[prefix + "weight"] = weight
    out = F.conv2d(x, weight, leaves.get(prefix + "bias"), p.get("stride", 1), (padding, p.get("padding_width", padding)),
                   p.get("dilation", 1), groups)
    return out, {"weight": weight.detach()} if p.get("frozen") else {}


def max_pool(case, p, x, leaves):
    kernel, stride, padding = p["kernel"], p.get("stride"), p.get("padding", 0)
    # A runner-up within rounding of a window's largest number could win in single precision, and take the whole gradient.
    windows = F.unfold(F.pad(x.detach(), [padding] * 4, value=-9), kernel, stride=stride or kernel)
    first = windows.reshape(x.shape[0], x.shape[1], kernel * kernel, -1).sort(2, descending=True).values
    assert kernel == 1 or (first[:, :, 0] - first[:, :, 1]).min() > 1e-5, case
    return F.max_pool2d(x, kernel, stride, padding), {}


def avg_pool(case, p, x, leaves):
    return F.avg_pool2d(x, p["kernel"], p.get("stride"), p.get("padding", 0), count_include_pad=False), {}


def batch_norm(case, p, x, leaves):
    channels = (x.shape[1],)
    weights = {}
    if p.get("affine", 1):
        weights = {name: state(case, name, channels) for name in ("weight", "bias")}
        leaves.update(weights)
    kept = {name: state(case, name, channels).detach() for name in ("running_mean", "running_var")}
    out = F.batch_norm(x, *kept.values(), **weights, training=p.get("train") == 1, momentum=p.get("momentum", 0.1),
                       eps=p.get("eps", 1e-5))
    if p.get("frozen_weight"):
        kept["weight"] = leaves.pop("weight").detach()
    return out, kept


def rectified(x):
    """In single precision nothing may change sides."""
    assert x.detach().abs().min() > 1e-6
    return F.relu(x)


def norm_relu(case, p, x, leaves):
    out, kept = batch_norm(case, p, x, leaves)
    return rectified(out), kept


def norm_add(case, p, x, y, leaves):
    out, kept = batch_norm(case, p, y, leaves)
    return x + out, kept


def norm_add_relu(case, p, x, y, leaves):
    out, kept = norm_add(case, p, x, y, leaves)
    return rectified(out), kept


def conv_norm(case, p, x, leaves):
    """In eval mode; only the inputs have gradients."""
    inputs = dict(leaves)
    out, kept = batch_norm(case, p, conv2d(case, {"kernel": 3, **p, "frozen": 0}, x, leaves, "conv.")[0], leaves)
    kept.update({name: leaves.pop(name).detach() for name in list(leaves) if name not in inputs})
    return out, kept


def conv_norm_relu(case, p, x, leaves):
    out, kept = conv_norm(case, p, x, leaves)
    return rectified(out), kept


def conv_norm_add(case, p, x, y, leaves):
    out, kept = conv_norm(case, p, y, leaves)
    return x + out, kept


def conv_norm_add_relu(case, p, x, y, leaves):
    out, kept = conv_norm_add(case, p, x, y, leaves)
    return rectified(out), kept


def add_relu(case, p, x, y, leaves):
    return rectified(x + y), {}


def relu(case, p, x, leaves):
    assert x.detach().abs().min() > 1e-5
    return F.relu(x), {}


def gelu(case, p, x, leaves):
    return F.gelu(x), {}


def sigmoid(case, p, x, leaves):
    return torch.sigmoid(x), {}


def softmax(case, p, x, leaves):
    return F.softmax(x, 1), {}


def add(case, p, x, y, leaves):
    return x + y, {}


def scale(case, p, x, leaves):
    return p["factor"] * x, {}


def gate(case, p, x, y, leaves):
    return x * y[:, :, None, None], {}


def concat(case, p, *inputs, leaves):
    return torch.cat(inputs, 1), {}


def slice(case, p, x, leaves):
    def window(size, first, count):
        first, count = p.get(first, 0), p.get(count, 0)
        return max(-first, 0), max(first, 0), max(first, 0) + (count or size - first) - max(-first, 0)

    if x.dim() == 2:
        return slice(case, p, x.T[None, :, :, None], leaves)[0][0, :, :, 0].T, {}
    top, row, end_row = window(x.shape[2], "top", "height")
    left, column, end_column = window(x.shape[3], "left", "width")
    _, channel, end_channel = window(x.shape[1], "channel", "channels")
    return F.pad(x[:, channel:end_channel, row:max(row, end_row), column:max(column, end_column)],
                 (left + min(0, end_column - column), 0, top + min(0, end_row - row), 0)), {}


def channel_shuffle(case, p, x, leaves):
    n, channels, *pixels = x.shape
    return x.reshape(n, p["groups"], channels // p["groups"], *pixels).transpose(1, 2).reshape(x.shape), {}


def channel_conv(case, p, x, leaves):
    leaves["weight"] = state(case, "weight", (1, 1, p["kernel"]))
    return F.conv1d(x[:, None], leaves["weight"], padding=p["kernel"] // 2)[:, 0], {}


def global_avg_pool(case, p, x, leaves):
    return x.mean((2, 3)), {}


def linear(case, p, x, leaves):
    x = x.flatten(1)
    leaves["weight"] = state(case, "weight", (p["features"], x.shape[1]))
    if p.get("bias", 1):
        leaves["bias"] = state(case, "bias", (p["features"],))
    return F.linear(x, leaves["weight"], leaves.get("bias")), {}


def dropout(case, p, x, leaves):
    keep = 1 - p["probability"]
    return x * (drawn(x.shape, draws.Stream.uniform) < keep) / keep if p.get("train") else x * 1, {}


def drop_path(case, p, x, leaves):
    keep = 1 - p["probability"] * (p.get("progress", 0) if p.get("ramp") else 1)
    kept = [float(stream.uniform() < keep) for stream in streams(x)]
    return x * by_image(kept, x) / keep if p.get("train") else x * 1, {}


def noise(case, p, x, leaves):
    leaves.clear()
    n, channels, *pixels = x.shape
    return drawn((n, channels, *[-(-size // p.get("stride", 1)) for size in pixels]), draws.Stream.normal), {}


class Shake(torch.autograd.Function):
    @staticmethod
    def forward(context, x, y, a, b):
        context.b = b
        return a * x + (1 - a) * y

    @staticmethod
    def backward(context, grad):
        return context.b * grad, (1 - context.b) * grad, None, None


def shake(case, p, x, y, leaves):
    pairs = [(stream.uniform(), stream.uniform()) for stream in streams(x)]
    if not p.get("train"):
        pairs = [(0.5, 0.5)] * len(pairs)
    elif p["backward"] == "keep":
        pairs = [(a, a) for a, _ in pairs]
    return Shake.apply(x, y, *(by_image(numbers, x) for numbers in zip(*pairs))), {}


def parameter(case, p, leaves):
    leaves[""] = state(case, "", (p["rows"], p["columns"]))
    return leaves[""] * 1, {}


def weighted_sum(case, p, weights, *tensors, leaves):
    columns = [k for k in range(weights.shape[1]) if p["columns"] >> k & 1]
    assert len(columns) == len(tensors)
    return sum(weights[p.get("row", 0), k] * x for k, x in zip(columns, tensors)), {}


def batch_statistics(case, p, x, leaves):
    kept = {name: state(case, name, (x.shape[1],)).detach() for name in ("running_mean", "running_var")}
    mean, variance = (x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)) if p.get("train") else kept.values()
    out = torch.stack([mean, (variance + p.get("eps", 1e-5)) ** -0.5]).detach()  # before the running ones move
    F.batch_norm(x, *kept.values(), training=p.get("train") == 1, momentum=p.get("momentum", 0.1))
    leaves.clear()
    return out, kept


def given(leaves, names):
    """Statistics that are no batch's own: nothing asks for their gradient, which is zero here."""
    return {f"d_{name}": torch.zeros_like(leaves.pop(name).detach()) for name in names}


def normalised(x, statistics):
    return (x - statistics.detach()[0][:, None, None]) * statistics.detach()[1][:, None, None]


def mixed_separable(case, p, x, weights, leaves):
    kernel, c, kept = p.get("kernel", 3), x.shape[1], {}
    for first, stride, dilation in ((1, p.get("stride", 1), p.get("dilation", 1)), (5, 1, 1))[:1 + p.get("twice", 0)]:
        names = (f"op.{first}.weight", f"op.{first + 1}.weight")
        leaves.update({name: state(case, name, shape) for name, shape in zip(names, ((c, 1, kernel, kernel), (c, c, 1, 1)))})
        running = {name: state(case, name, (c,)).detach() for name in (f"op.{first + 2}.running_mean", f"op.{first + 2}.running_var")}
        x = F.conv2d(rectified(x), leaves[names[0]], None, stride, kernel // 2 * dilation, dilation, c)
        x = F.batch_norm(F.conv2d(x, leaves[names[1]]), *running.values(), training=p.get("train") == 1)
        kept.update(running)
    return weights[p.get("row", 0), p.get("column", 0)] * x, kept


def mixed_separable_add(case, p, base, x, weights, leaves):
    out, kept = mixed_separable(case, p, x, weights, leaves)
    return base + out, kept


def mixed_gates(case, p, x, weights, *gates, leaves):
    columns = {key: [k for k in range(weights.shape[1]) if p.get(key, default) >> k & 1] for key, default in (("plain", 1), ("gated", 0))}
    terms = [(k, x) for k in columns["plain"]] + [(k, x * g[:, :, None, None]) for k, g in zip(columns["gated"], gates)]
    return sum(weights[p.get("row", 0), k] * term for k, term in terms), {}


def mixed_gates_add(case, p, base, *rest, leaves):
    out, kept = mixed_gates(case, p, *rest, leaves=leaves)
    return base + out, kept


def mixed_sum(case, p, weights, *rest, leaves, names="yzuv"):
    columns = [k for k in range(weights.shape[1]) if p.get("columns", 1) >> k & 1]
    tensors, statistics = rest[:len(columns)], iter(rest[len(columns):])
    terms = (normalised(x, next(statistics)) if p.get("normed", 0) >> i & 1 else x for i, x in enumerate(tensors))
    out = sum(weights[p.get("row", 0), k] * x for k, x in zip(columns, terms))
    return out, given(leaves, names[len(columns):len(rest)])


def mixed_add(case, p, base, *rest, leaves):
    out, kept = mixed_sum(case, p, *rest, leaves=leaves, names="zuv")
    return base + out, kept


def cross_entropy(case, p, x, y, leaves):
    if p.get("soft"):
        return F.cross_entropy(x, y, reduction="none"), {}
    del leaves["y"]
    labels = torch.from_numpy(closed_form_labels(0, f"{case}/labels", *x.shape))
    return F.cross_entropy(x, labels, reduction="none", label_smoothing=p.get("smoothing", 0)), {}


def resize(case, p, x, leaves):
    return F.interpolate(x, (p["height"], p["width"]), mode="bilinear", align_corners=False), {}


TWO_INPUTS = (add, shake, cross_entropy, norm_add, norm_add_relu, add_relu)  # of one shape, unless a case says otherwise
OPS = {op.__name__: op for op in (
    conv2d, max_pool, avg_pool, batch_norm, relu, gelu, sigmoid, softmax, add, scale, gate, concat, slice, channel_shuffle,
    channel_conv, global_avg_pool, linear, dropout, drop_path, noise, shake, parameter, weighted_sum, cross_entropy, resize,
    norm_relu, norm_add, norm_add_relu, add_relu, conv_norm, conv_norm_relu, conv_norm_add, conv_norm_add_relu, batch_statistics,
    mixed_sum, mixed_add, mixed_separable, mixed_separable_add, mixed_gates, mixed_gates_add)}


def number(text):
    """An integer, a real number, or the name of a choice."""
    for kind in (int, float, str):
        try:
            return kind(text)
        except ValueError:
            pass


def cases():
    with open(os.path.join(HERE, "ops.cases")) as file:
        for line in file:
            words = line.split("#")[0].split()
            if words:
                p = dict(word.split("=") for word in words[1:])
                shapes = {name: tuple(map(int, p.pop(name).split(","))) for name in INPUTS if name in p}
                if OPS[words[0].split("/")[0]] in TWO_INPUTS:
                    shapes.setdefault("y", shapes["x"])
                yield words[0], shapes, {key: number(value) for key, value in p.items()}


def compute(case, shapes, p):
    leaves = {name: array(case, name, shape, p.get("offset", 0), p.get("scale", 1)) for name, shape in shapes.items()}
    if p.get("soft"):
        leaves["y"] = array(case, "y", shapes["y"], 0.5, 0.5)
    out, kept = OPS[case.split("/")[0]](case, p, *leaves.values(), leaves=leaves)
    if out.requires_grad:
        out.backward(array(case, "grad", tuple(out.shape)).detach())
    kept.update({"out": out.detach()}, **{"d_" + name: leaf.grad for name, leaf in leaves.items()})
    return kept


def main():
    files = {}
    for case, shapes, p in cases():
        rows = files.setdefault(case.split("/")[0], {})
        for name, value in compute(case, shapes, p).items():
            flat = value.numpy().astype("<f4").ravel()
            flat = flat if flat.size <= WHOLE else flat[::EVERY]
            rows[f"{case}/{name}"] = ("F32", flat.shape, flat.tobytes())
    for name, rows in files.items():
        path = os.path.join(HERE, "arrays", f"ops_{name}.safetensors")
        safetensors_file.write(path, rows)
        assert os.path.getsize(path) < 200_000
        print(f"ops_{name}.safetensors: {len(rows)} arrays, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
