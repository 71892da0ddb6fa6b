#!/usr/bin/env python3
"""Makes arrays/model_*.safetensors with PyTorch: the first training step of whole networks, and says what it chose and why.

A file holds the seed and the description of network and batch in its metadata, and results only (see README.md for the rule by which
cases are chosen): train/loss and train/logits in training mode, gradient/NAME of every parameter, running statistics as train/NAME, and
eval/logits after that step's running statistics.

To add a case: a network in MODELS of models.py (or of a module of your own; make_case() takes the table), a call of make_case(), and the
file's name in the table of test_golden_models.c. What has a kink must be an nn.ReLU or nn.MaxPool2d module. What draws must be a module
with a method feed(streams), one Stream (draws.py) an image; `nodes` are the numbers of those nodes in our graph, in modules() order, which
test_golden_models.c prints where they are wrong. A network with a second head returns (logits, auxiliary logits) in training mode and has
`auxiliary_weight`.
"""
import torch
import torch.nn.functional as F
from torch import nn

from draws import streams
from make_resnet import AGREEMENT, KINK, batch, fill, relative, save
from models import MODELS

WHOLE = 1000  # numbers; larger gradients may be thinned out


def runner_up(pool, x):
    """How far the second largest number of a window is from the largest."""
    kernel, stride, padding = pool.kernel_size, pool.stride, pool.padding
    x = F.pad(x.detach(), (padding,) * 4, value=float("-inf"))
    windows = x.unfold(2, kernel, stride).unfold(3, kernel, stride).flatten(4)
    if windows.shape[4] == 1:
        return float("inf")
    first, second = windows.topk(2, dim=4).values.unbind(4)
    return above_zero(first - second)


def above_zero(distances):
    """The least that is not exactly 0. What is exactly 0 has come from zeros (of a ReLU before, of a dropped path) in the same way in every
    precision, and lies where no gradient goes through, or the same whichever of two equals wins."""
    distances = distances[distances > 0]
    return distances.min().item() if distances.numel() else float("inf")


def watch_kinks(model):
    """The distances from every kink, collected while the model runs."""
    nearest = []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(lambda _, inputs: nearest.append(above_zero(inputs[0].detach().abs())))
        elif isinstance(module, nn.MaxPool2d):
            module.register_forward_pre_hook(lambda pool, inputs: nearest.append(runner_up(pool, inputs[0])))
    return nearest


def feed(model, seed, nodes, images):
    drawing = [module for module in model.modules() if hasattr(module, "feed")]
    assert len(drawing) == len(nodes), f"{len(drawing)} modules draw, but {len(nodes)} nodes are named"
    for module, node in zip(drawing, nodes):
        module.feed(streams(seed, node, 0, images))


def first_step(make, seed, case, dtype):
    """The model after one training step's gradients: model, distances from kinks, logits, loss."""
    model = fill(seed, make(), dtype)
    model.progress = case["progress"]
    feed(model, seed, case["nodes"], case["images"])
    nearest = watch_kinks(model)
    x, labels = batch(seed, 0, case["images"], case["size"], dtype, case["channels"], case["classes"])
    output = model.train()(x)
    logits, *auxiliary = output if isinstance(output, tuple) else (output,)
    loss = F.cross_entropy(logits, labels)
    for second in auxiliary:
        loss = loss + model.auxiliary_weight * F.cross_entropy(second, labels)
    loss.backward()
    return model, nearest, logits, loss


def gradients(model):
    """Of what is trained; 0 where the loss does not depend on it."""
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters() if p.requires_grad}


def disagreement(single, model):
    """The largest relative distance of two models' gradients; both 0 is no distance."""
    pairs = zip(gradients(single).values(), gradients(model).values())
    return max(relative(p, q) if q.abs().max() > 0 else p.abs().max().item() for p, q in pairs)


def thinned(name, value, every):
    return value.flatten()[::every] if value.numel() > WHOLE else value


def make_case(name, model_name, params, images, size, channels=3, classes=10, nodes=(), every=1, progress=0.0, models=MODELS,
              split=False):
    """The first seed that is far from every kink and on which PyTorch agrees with itself. `every`: larger gradients keep every so many
    numbers. `progress`: the share of the training that is done, for what grows with it; the model finds it in its own `progress`.
    `split`: the gradients get a file of their own, NAME_gradients."""
    case = dict(images=images, size=size, channels=channels, classes=classes, nodes=nodes, progress=progress)

    def make():
        return models[model_name](dict(size=size, channels=channels, classes=classes), params)

    for seed in range(2000):
        model, nearest, logits, loss = first_step(make, seed, case, torch.float64)
        if min(nearest, default=float("inf")) < KINK:
            continue
        gap = disagreement(first_step(make, seed, case, torch.float32)[0], model)
        if gap <= AGREEMENT:
            break
    else:
        raise SystemExit(f"{name}: no seed does")
    print(f"{name}: seed {seed}: {images} images of {size}x{size}x{channels}; nearest kink {min(nearest, default=float('inf')):.2g}; "
          f"fp32 and fp64 gradients agree to {gap:.2g}", flush=True)
    results = {"train/logits": logits, "train/loss": loss}
    results.update({"train/" + key: value for key, value in model.state_dict().items() if "running" in key})
    grads = {"gradient/" + key: thinned(key, value, every) for key, value in gradients(model).items()}
    x, _ = batch(seed, 0, images, size, torch.float64, channels, classes)
    with torch.no_grad():
        results["eval/logits"] = model.eval()(x)
    metadata = {"model." + key: value for key, value in params.items()}
    if split:
        metadata["gradients"] = name + "_gradients"
        save(metadata["gradients"], grads)
    else:
        results.update(grads)
    save(name, results, seed=seed, model=model_name, images=images, size=size, channels=channels, classes=classes, every=every,
         progress=progress, nodes=" ".join(str(node) for node in nodes), **metadata)


# The numbers of the shake nodes in our graph.
SHAKE_NODES = (16, 36, 50, 64, 78, 98, 112, 126, 140, 160, 174, 188)


def main():
    torch.set_num_threads(1)
    make_case("model_resnet18_se", "resnet18", {"width": 3, "attention": "se", "reduction": 2}, images=17, size=9)
    make_case("model_resnet18_eca", "resnet18", {"width": 4, "attention": "eca"}, images=17, size=9, channels=5, every=3)
    make_case("model_resnet9", "resnet9", {"width": 3}, images=17, size=18)
    make_case("model_airbench94", "airbench94", {"width": 5}, images=20, size=18)
    make_case("model_shake_shake", "shake_shake", {"width": 3}, images=17, size=9, nodes=SHAKE_NODES)
    make_case("model_shake_keep", "shake_shake", {"width": 2, "backward": "keep"}, images=5, size=16, nodes=SHAKE_NODES)


if __name__ == "__main__":
    main()
