"""Every heat-map method in PyTorch, from its paper, with hooks and autograd; nothing of leased's code.

A = the activation of a layer [C,h,w] of one image, G = dy/dA, y the class's logit; eval mode. Maps come signed, at the layer's resolution or,
of methods that look at pixels, at the image's.
"""
import copy

import torch
import torch.nn.functional as F
from torch import nn


class Tap:
    """Sees the output of one layer, or puts another one in its place."""

    def __init__(self, model, layer):
        self.value, self.instead = None, None
        self.hook = getattr(model, layer).register_forward_hook(self.seen)

    def seen(self, module, inputs, output):
        self.value = output if self.instead is None else self.instead
        return self.value

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hook.remove()


def activation_and_gradient(model, layer, x, k):
    with Tap(model, layer) as tap:
        y = model(x)[0, k]
        g, = torch.autograd.grad(y, tap.value)
    return tap.value.detach()[0], g[0]


def weighted(a, w):
    return (w[:, None, None] * a).sum(0)


# ---- of an activation and its gradient ----

def gradcam(a, g):  # Selvaraju et al., 2017
    return weighted(a, g.mean((1, 2)))


def hirescam(a, g):  # Draelos and Carin, 2020
    return (g * a).sum(0)


def gradcampp(a, g):  # Chattopadhay et al., 2018: its equation 19, for exp(y)
    alpha = g ** 2 / (2 * g ** 2 + a.sum((1, 2), keepdim=True) * g ** 3 + 1e-6)
    return weighted(a, (alpha * g.relu()).sum((1, 2)))


def xgradcam(a, g):  # Fu et al., 2020
    return weighted(a, (g * a).sum((1, 2)) / (a.sum((1, 2)) + 1e-7))


def layercam(a, g):  # Jiang et al., 2021
    return (g.relu() * a).sum(0)


GRADIENT = {"gradcam": gradcam, "hirescam": hirescam, "gradcampp": gradcampp, "xgradcam": xgradcam, "layercam": layercam}


# ---- of an activation ----

def cam(model, a, k):  # Zhou et al., 2016
    return weighted(a, model.fc.weight[k])


def eigencam(a):  # Muhammad and Yeasin, 2020
    """The map, and how far it is from being another: |second / first singular value|, |min / max|."""
    rows = a.flatten(1).T
    rows = rows - rows.mean(0)
    _, values, vectors = torch.linalg.svd(rows, full_matrices=False)
    m = (rows @ vectors[0]).reshape(a.shape[1:])
    low, high = sorted((m.min().abs().item(), m.max().abs().item()))
    return m if m.max() >= -m.min() else -m, (values[1] / values[0]).item(), low / high


def scorecam(model, a, x, k):  # Wang et al., 2020; the channels' softmax
    up = F.interpolate(a[None], size=x.shape[2:], mode="bilinear", align_corners=False)[0]
    low, high = up.amin((1, 2), keepdim=True), up.amax((1, 2), keepdim=True)
    masks = (up - low) / (high - low + 1e-7)
    with torch.no_grad():
        scores = torch.cat([model(x * mask)[:, k] for mask in masks])
    return weighted(a, scores.softmax(0))


def ablationcam(model, layer, a, x, k):  # Desai and Ramaswamy, 2020
    """The map, and the logit that it divides by."""
    with Tap(model, layer) as tap, torch.no_grad():
        y = model(x)[0, k]
        without = []
        for channel in range(len(a)):
            tap.instead = a.clone()[None]
            tap.instead[0, channel] = 0
            without.append(model(x)[0, k])
    return weighted(a, (y - torch.stack(without)) / y), y.item()


# ---- of pixels: sums of magnitudes over the channels ----

def pixels(values):
    return values.abs().sum(-3)


def gradient_of(model, x, k):
    """dy/dx of each image of x."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(model(x)[:, k].sum(), x)[0]


class Guided(torch.autograd.Function):
    """ReLU whose backward lets only positive gradients through."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(context, g):
        x, = context.saved_tensors
        return g.clamp(min=0) * (x > 0)


class GuidedReLU(nn.ReLU):
    def forward(self, x):
        return Guided.apply(x)


def guided(model):
    """The model, with guided ReLUs: Springenberg et al., 2014."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, GuidedReLU())
    return model


def guided_gradcam(model, layer, x, k):
    a, g = activation_and_gradient(model, layer, x, k)
    m = F.interpolate(gradcam(a, g).relu()[None, None], size=x.shape[2:], mode="bilinear", align_corners=False)[0, 0]
    return pixels(gradient_of(guided(model), x, k)[0]) * m


def input_gradient(model, x, k):  # Simonyan et al., 2013
    return pixels(gradient_of(model, x, k)[0])


def smoothgrad(model, x, k, noise):  # Smilkov et al., 2017
    """noise: [samples,C,H,W], in units of x."""
    return pixels(gradient_of(model, x + noise, k).mean(0))


def integrated_gradients(model, x, base, k, steps):  # Sundararajan et al., 2017; midpoints
    at = (torch.arange(steps, dtype=x.dtype) + 0.5) / steps
    g = gradient_of(model, base + at[:, None, None, None] * (x - base), k)
    return pixels((x - base)[0] * g.mean(0))


def delta(model, x, k, mean, std, start, eps, steps):  # Madry et al., 2018; L2
    """|delta| in units of pixels, 0..1, of steps of 2.5 eps/steps away from class k, within the L2 ball and the pixels' range."""
    low, high = -(x * std + mean), 1 - (x * std + mean)
    d = torch.minimum(torch.maximum(start, low), high)
    for _ in range(steps):
        d = d.detach().requires_grad_()
        g, = torch.autograd.grad(-model(x + d / std).log_softmax(1)[0, k], d)
        d = d.detach() + 2.5 * eps / steps * g / g.norm()
        d = d * (eps / d.norm()).clamp(max=1)
        d = torch.minimum(torch.maximum(d, low), high)
    return pixels(d[0])


# ---- of several layers ----

def scaled(m):
    m = m - m.min()
    return m / (1e-7 + m.max())


def fused(maps):
    """Rectified maps of several layers as one, 0..1, at the largest resolution."""
    size = max((tuple(m.shape) for m in maps), key=lambda s: s[0] * s[1])
    resized = [F.interpolate(scaled(m.relu())[None, None], size=size, mode="bilinear", align_corners=False)[0, 0] for m in maps]
    return scaled(torch.stack(resized).mean(0))
