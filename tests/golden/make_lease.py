#!/usr/bin/env python3
"""Makes arrays/lease_*.safetensors with PyTorch: the gradient of one step of LeaSE's architecture, exactly, by differentiating through the
virtual steps, the attack and the reweighting (create_graph), in double precision.

    L_val(E', A) + lambda L_val(W'),  E' = E - xi_e dE L_tr(E, A),  W' = W - xi_w dW L_tr(W, R(x, explanation of x by E'))

Explainer and audience are tiny networks with GELU (test_golden_lease.c builds the same): two mixtures of a convolution with GELU, one with
a batch norm, and the identity, on which alphas [2,3] stand. L_tr and L_val use the batch's statistics, attack and explanation the running
ones. A file holds dA, and of it the audience's own term, dA - dA at lambda 0, of which an error is a share.

No seed was chosen: the cases have 3, 4, 5 and 6. The script prints how near the clip's bounds are and how many images the ball has shrunk.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

from closed_form import closed_form, closed_form_labels, closed_form_state
from draws import RNG_ATTACK, Stream
from make_resnet import save

IMAGES, SIZE, CLASSES, WIDTH = 18, 6, 4, 5
MEAN, STD = np.float32([0.5, 0.45, 0.4]), np.float32([0.25, 0.3, 0.275])
RATE_E, RATE_W = 0.4, 0.5
EPS = 1e-5


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def parameters(seed, shapes):
    return {name: torch.from_numpy(closed_form_state(seed, name, shape)).double().requires_grad_("running" not in name)
            for name, shape in shapes.items()}


def norm_shapes(name, channels):
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


EXPLAINER = {"stem.weight": (WIDTH, 3, 3, 3), **norm_shapes("norm", WIDTH), "alphas": (2, 3)}
for index in range(2):
    EXPLAINER.update({f"{index}.wide.weight": (WIDTH, WIDTH, 3, 3), f"{index}.point.weight": (WIDTH, WIDTH, 1, 1),
                      **norm_shapes(f"{index}.norm", WIDTH)})
EXPLAINER.update({"head.weight": (CLASSES, WIDTH), "head.bias": (CLASSES,)})


def audience_shapes(channels):
    return {"stem.weight": (WIDTH, channels, 3, 3), **norm_shapes("norm", WIDTH), "second.weight": (WIDTH, WIDTH, 3, 3),
            "head.weight": (CLASSES, WIDTH), "head.bias": (CLASSES,)}


def norm(p, name, x, training):
    if training:
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    else:
        mean, var = p[name + ".running_mean"], p[name + ".running_var"]
    scale = p[name + ".weight"] / torch.sqrt(var + EPS)
    return (x - mean[:, None, None]) * scale[:, None, None] + p[name + ".bias"][:, None, None]


def last_stage(p, x, training):
    x = gelu(norm(p, "norm", F.conv2d(x, p["stem.weight"], padding=1), training))
    mixture = torch.softmax(p["alphas"], 1)
    for i in range(2):
        wide = gelu(F.conv2d(x, p[f"{i}.wide.weight"], padding=1))
        point = norm(p, f"{i}.norm", F.conv2d(x, p[f"{i}.point.weight"]), training)
        x = gelu(mixture[i, 0] * wide + mixture[i, 1] * point + mixture[i, 2] * x)
    return x


def head(p, x):
    return x.mean((2, 3)) @ p["head.weight"].T + p["head.bias"]


def explainer(p, x, training):
    return head(p, last_stage(p, x, training))


def audience(p, x, training):
    x = gelu(norm(p, "norm", F.conv2d(x, p["stem.weight"], padding=1), training))
    return head(p, gelu(F.conv2d(x, p["second.weight"], stride=2, padding=1)))


def moved(p, loss, rate):
    names = [name for name in p if p[name].requires_grad and name != "alphas"]
    grads = torch.autograd.grad(loss, [p[name] for name in names], create_graph=True)
    return {**p, **{name: p[name] - rate * g for name, g in zip(names, grads)}}


def channels_of(x):
    return torch.from_numpy(x).double()[None, :, None, None]


def start(seed, eps, x):
    """eps n/|n| of each image, in the order of our numbers (pixels, then channels), clipped."""
    delta = np.zeros((IMAGES, SIZE, SIZE, 3))
    for i in range(IMAGES):
        stream = Stream(seed, 0, 0, i, RNG_ATTACK)
        draws = np.array([np.float32(stream.normal()) for _ in range(SIZE * SIZE * 3)], dtype=np.float64)
        delta[i] = (eps * draws / np.sqrt((draws ** 2).sum())).reshape(SIZE, SIZE, 3)
    return clip(torch.from_numpy(delta).permute(0, 3, 1, 2), x)[0]


def clip(delta, x):
    pixel = x * channels_of(STD) + channels_of(MEAN)
    inside = (delta > -pixel) & (delta < 1 - pixel)
    distance = torch.minimum((delta + pixel).abs(), (delta + pixel - 1).abs()).min().item()
    clipped = torch.maximum(torch.minimum(delta, 1 - pixel), -pixel).detach()
    return torch.where(inside, delta, clipped), distance, 1 - inside.double().mean().item()


def attack(case, p, x, labels):
    eps, steps = case["eps"], case["steps"]
    eta = case["step_size"] or 2.5 * eps / steps
    target = torch.softmax(explainer(p, x, False), 1) if case["predicted"] else F.one_hot(labels, CLASSES).double()
    delta = (torch.zeros_like(x) if case["zero"] else start(case["seed"], eps, x)).requires_grad_()
    for _ in range(steps):
        loss = -(target * torch.log_softmax(explainer(p, x + delta / channels_of(STD), False), 1)).sum()
        g, = torch.autograd.grad(loss, delta, create_graph=True)
        z = delta + eta * g / g.flatten(1).norm(dim=1)[:, None, None, None]
        length = z.flatten(1).norm(dim=1)[:, None, None, None]
        delta, near, clipped = clip(torch.where(length > eps, z * eps / length, z), x)
        print(f"    step: {int((length > eps).sum())} images projected, {100 * clipped:.1f} % of the numbers clipped, "
              f"nearest bound {near:.1g}")
    return delta


def maps(case, p, x, labels):
    a = last_stage(p, x, False)
    every = F.relu(torch.einsum("kc,nchw->nkhw", p["head.weight"], a))
    if not case["all"]:
        chosen = explainer(p, x, False).argmax(1) if case["predicted"] else labels
        every = every[torch.arange(IMAGES), chosen][:, None]
    y = every - every.amin((2, 3), keepdim=True)
    h = y / (1e-7 + y.amax((2, 3), keepdim=True))
    return F.interpolate(h, (SIZE, SIZE), mode="bilinear", align_corners=False)


def look(case, p, x, labels):
    if "steps" in case:
        delta = attack(case, p, x, labels)
        if case["reweight"] == "signed":
            r = delta * x
        else:
            r = x * delta.abs() / (delta.abs().amax((1, 2, 3), keepdim=True) + 1e-12)
    else:
        h = maps(case, p, x, labels)
        r = (x[:, None] * (0.3 + 0.7 * h)[:, :, None]).flatten(1, 2)
    return torch.cat([x, r], 1) if case["image"] else r


def raw(case, x):
    return torch.cat([x] * (case["channels"] // 3), 1)


def gradient(case, weight):
    """dA with this lambda."""
    seed = case["seed"]
    e, w = parameters(seed, EXPLAINER), parameters(seed + 1, audience_shapes(case["channels"]))
    x, val = (torch.from_numpy(closed_form(seed, f"images/{i}", (IMAGES, 3, SIZE, SIZE), 0.0, 1.4)).double() for i in range(2))
    labels, val_labels = (torch.from_numpy(closed_form_labels(seed, f"labels/{i}", IMAGES, CLASSES)) for i in range(2))
    e1 = moved(e, F.cross_entropy(explainer(e, x, True), labels), RATE_E)
    loss = F.cross_entropy(explainer(e1, val, True), val_labels)
    value = loss.item()
    if weight:
        w1 = moved(w, F.cross_entropy(audience(w, look(case, e1, x, labels), True), labels), RATE_W)
        loss = loss + weight * F.cross_entropy(audience(w1, raw(case, val), True), val_labels)
    return value, torch.autograd.grad(loss, e["alphas"])[0]


def make_case(name, **case):
    case = {"seed": 3, "predicted": False, "all": False, "image": False, "reweight": "absolute", "lambda": 1.5, "channels": 3, "zero": False,
            "step_size": 0, **case}
    print(name)
    loss, alone = gradient(case, 0)
    _, both = gradient(case, case["lambda"])
    term = both - alone
    print(f"    |audience's term| {term.norm():.3g}, |dA| {both.norm():.3g}")
    save(name, {"loss": np.array([loss]), "alphas": both, "term": term, "alone": alone}, images=IMAGES, size=SIZE, classes=CLASSES,
         width=WIDTH, rate_e=RATE_E, rate_w=RATE_W, **{key: int(value) if isinstance(value, bool) else value for key, value in case.items()})


def main():
    torch.set_num_threads(1)
    make_case("lease_label", steps=1, eps=0.5)
    make_case("lease_steps", steps=3, eps=1.5, reweight="signed", seed=4)
    make_case("lease_inside", steps=2, eps=0.5, zero=True, step_size=0.3, seed=6)
    make_case("lease_predicted", steps=2, eps=0.5, predicted=True, image=True, channels=6)
    make_case("lease_cam", reweight="mix")
    make_case("lease_cam_all", reweight="mix", all=True, predicted=True, image=True, channels=3 * CLASSES + 3, seed=5)


if __name__ == "__main__":
    main()
