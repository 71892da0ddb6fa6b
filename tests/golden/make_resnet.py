#!/usr/bin/env python3
"""Makes arrays/resnet18_*.safetensors and arrays/sgd_*.safetensors with PyTorch, and says what it chose and why.

Inputs and weights are closed_form(seed, name), so a file holds the seed (in its metadata) and results only. All
results are computed in double precision from these single-precision inputs. See README.md for the rule.
"""
import functools
import os
import statistics

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import safetensors_file
from closed_form import closed_form, closed_form_labels, closed_form_state, hashes
from models import resnet18

HERE = os.path.dirname(os.path.abspath(__file__))
KINK = 1e-5        # no ReLU input nearer to 0 than this, in double precision
AGREEMENT = 1e-5   # single- and double-precision gradients, relative L2 of each tensor
CLASSES = 10
LAYERS = ("layer2", "layer3", "layer4")
SKETCH = 4096      # numbers that stand for all weights of a run (see sketch())


def save(name, tensors, **metadata):
    path = os.path.join(HERE, "arrays", name + ".safetensors")
    rows = {}
    for key, value in tensors.items():
        array = np.asarray(value.detach().numpy() if torch.is_tensor(value) else value).astype("<f4")
        rows[key] = ("F32", array.shape, array.tobytes())
    safetensors_file.write(path, rows, {key: str(value) for key, value in metadata.items()})
    size = os.path.getsize(path)
    assert size < 200_000, f"{path}: {size} bytes"
    print(f"  {os.path.basename(path)}: {size} bytes")


def described(width, images, size, activation):
    """The metadata that says what the network and its batch are (see rig.h)."""
    return {"model": "resnet18", "model.width": width, "model.activation": activation, "images": images, "size": size,
            "channels": 3, "classes": CLASSES}


def fill(seed, model, dtype):
    """Weights and statistics by closed forms."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.from_numpy(closed_form_state(seed, name, tuple(value.shape))))
    return model.to(dtype)


def network(seed, width, dtype, activation="relu"):
    return fill(seed, resnet18(width=width, classes=CLASSES, activation=activation), dtype)


def batch(seed, step, images, size, dtype, channels=3, classes=CLASSES):
    x = closed_form(seed, f"images/{step}", (images, channels, size, size), 0.0, 2.0)
    return torch.from_numpy(x).to(dtype), torch.from_numpy(closed_form_labels(seed, f"labels/{step}", images, classes))


def watch_kinks(model):
    """The distances of all ReLU inputs from 0, collected while the model runs."""
    nearest = []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(lambda _, inputs: nearest.append(inputs[0].detach().abs().min().item()))
    return nearest


def relative(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def gradients(seed, width, images, size, dtype):
    model = network(seed, width, dtype)
    nearest = watch_kinks(model)
    x, labels = batch(seed, 0, images, size, dtype)
    logits = model.train()(x)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    return model, nearest, logits, loss


def grad_cam(model, x, classes):
    """{layer: signed maps [N,h,w]} of one class per image, in eval mode."""
    kept, hooks = {}, []
    for layer in LAYERS:
        hooks.append(getattr(model, layer).register_forward_hook(
            lambda _, inputs, output, layer=layer: kept.__setitem__(layer, output)))
    logits = model(x)
    wanted = logits.gather(1, classes[:, None]).sum()
    grads = torch.autograd.grad(wanted, [kept[layer] for layer in LAYERS])
    for hook in hooks:
        hook.remove()
    return logits, {layer: (g.mean((2, 3), keepdim=True) * kept[layer]).sum(1) for layer, g in zip(LAYERS, grads)}


def make_case(name, width, images, size):
    """The first seed that is far from every kink and on which PyTorch agrees with itself."""
    for seed in range(1000):
        model, nearest, logits, loss = gradients(seed, width, images, size, torch.float64)
        train_kink = min(nearest)
        if train_kink < KINK:
            continue
        single = gradients(seed, width, images, size, torch.float32)[0]
        gap = max(relative(p.grad, q.grad) for p, q in zip(single.parameters(), model.parameters()))
        if gap > AGREEMENT:
            continue
        nearest.clear()
        x, _ = batch(seed, 0, images, size, torch.float64)
        classes = (torch.arange(images) * 3 + 1) % CLASSES
        eval_logits, maps = grad_cam(model.eval(), x, classes)
        if min(nearest) >= KINK:
            break
    else:
        raise SystemExit(f"{name}: no seed does")
    print(f"{name}: seed {seed}: width {width}, {images} images of {size}x{size}; nearest ReLU input {train_kink:.2g} "
          f"(training), {min(nearest):.2g} (eval); fp32 and fp64 gradients agree to {gap:.2g}")
    results = {"train/logits": logits, "train/loss": loss, "eval/logits": eval_logits}
    results.update({"train/" + key: value for key, value in model.state_dict().items() if "running" in key})
    results.update({"eval/cam/" + layer: value for layer, value in maps.items()})
    shape = dict(seed=seed, **described(width, images, size, "relu"))
    save(name, results, **shape)
    save(name + "_gradients", {key: p.grad for key, p in model.named_parameters()}, **shape)


def train(seed, width, images, size, steps, dtype, activation):
    model = network(seed, width, dtype, activation).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    losses = []
    for step in range(steps):
        x, labels = batch(seed, step, images, size, dtype)
        sgd.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    return model, losses


def make_sgd_gelu(width=4, images=8, size=16, steps=10, seed=0):
    run = functools.partial(train, seed, width, images, size, steps, activation="gelu")
    (model, losses), (single, _) = run(dtype=torch.float64), run(dtype=torch.float32)
    gap = max(relative(p, q) for p, q in zip(single.parameters(), model.parameters()))
    print(f"sgd_gelu: seed {seed}: loss {losses[0]:.4f} -> {losses[-1]:.4f}; PyTorch's own fp32 weights are {gap:.2g} away")
    shape = dict(seed=seed, steps=steps, **described(width, images, size, "gelu"))
    save("sgd_gelu", dict(model.named_parameters()), **shape)
    save("sgd_gelu_losses", {"losses": np.array(losses), **{k: v for k, v in model.state_dict().items() if "running" in k}},
         **shape)


def sketch(seed, model):
    """SKETCH sums of all weights with hashed signs: the L2 norm of a difference survives within about 1 %."""
    sums = np.zeros(SKETCH)
    for name, value in model.named_parameters():
        h = hashes(seed, "sketch/" + name, value.numel())
        sign = np.where(h >> np.uint32(31), -1.0, 1.0)
        np.add.at(sums, h % np.uint32(SKETCH), sign * value.detach().double().numpy().ravel())
    return sums


def make_sgd_relu_gap(width=4, images=8, size=8, steps=10, seeds=10):
    # 8x8 images: batch norm over the 8 values of layer4 amplifies every crossed kink, so that nearly all seeds
    # cross one. With larger images about half of them do, and the median of ten would be chance.
    sketches, gaps, exact = [], [], []
    for seed in range(seeds):
        run = functools.partial(train, seed, width, images, size, steps, activation="relu")
        (model, _), (single, _) = run(dtype=torch.float64), run(dtype=torch.float32)
        reference = sketch(seed, model).astype(np.float32)
        difference = sketch(seed, single) - reference
        sketches.append(reference)
        gaps.append(np.linalg.norm(difference) / np.linalg.norm(reference))
        flat = [torch.cat([p.detach().double().flatten() for p in m.parameters()]) for m in (single, model)]
        exact.append(relative(*flat))
    print(f"sgd_relu_gap: median gap of fp32 to fp64 over {seeds} seeds: {statistics.median(gaps):.3g} by sketches, "
          f"{statistics.median(exact):.3g} exactly; all: {' '.join(f'{gap:.1e}' for gap in exact)}")
    save("sgd_relu_gap", {"sketches": np.stack(sketches), "gaps": np.array(gaps)},
         seeds=seeds, steps=steps, **described(width, images, size, "relu"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_case("resnet18_a", width=4, images=8, size=16)
    make_case("resnet18_b", width=3, images=20, size=9)
    make_sgd_gelu()
    make_sgd_relu_gap()
