"""The networks made of cells in PyTorch: that of a genotype, and the supernets of DARTS and PC-DARTS.

Module names are those of DARTS' public code, which are the names in our checkpoints. What is ours: candidates with attention keep it in a
module "se" or "eca", behind a FactorizedReduce "reduce" at stride 2; alphas and betas are parameters of the network.
Like in models.py, what has a kink (ReLU, max-pool) or draws (DropPath) is a module of its own.
"""
import collections

import torch
from torch import nn

from models import ECA, SE

Genotype = collections.namedtuple("Genotype", "normal normal_concat reduce reduce_concat")

DARTS_V2 = Genotype(
    normal=[("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 1), ("skip_connect", 0),
            ("skip_connect", 0), ("dil_conv_3x3", 2)],
    normal_concat=[2, 3, 4, 5],
    reduce=[("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1), ("max_pool_3x3", 0), ("skip_connect", 2),
            ("skip_connect", 2), ("max_pool_3x3", 1)],
    reduce_concat=[2, 3, 4, 5])

# What no published genotype has: attention, an identity and attention at stride 2, an output of some nodes only.
ODD = Genotype(
    normal=[("se", 1), ("dil_conv_5x5", 0), ("eca", 2), ("sep_conv_5x5", 0), ("skip_connect", 3), ("avg_pool_3x3", 1), ("max_pool_3x3", 4),
            ("sep_conv_3x3", 0)],
    normal_concat=[2, 4, 5],
    reduce=[("skip_connect", 1), ("se", 0), ("eca", 0), ("avg_pool_3x3", 2), ("dil_conv_5x5", 1), ("skip_connect", 3), ("eca", 4),
            ("max_pool_3x3", 1)],
    reduce_concat=[3, 4, 5])

GENOTYPES = {"darts_v2": DARTS_V2, str(ODD): ODD}

SPACES = {
    "s5": ["none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"],
    "s3_se_eca": ["none", "skip_connect", "sep_conv_3x3", "se", "eca"],
}


def conv(inputs, outputs, kernel, stride=1, padding=0, dilation=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)


def norm(channels, affine):
    return nn.BatchNorm2d(channels, affine=affine)


class ReLUConvBN(nn.Module):
    def __init__(self, inputs, outputs, affine):
        super().__init__()
        self.op = nn.Sequential(nn.ReLU(), conv(inputs, outputs, 1), norm(outputs, affine))

    def forward(self, x):
        return self.op(x)


class FactorizedReduce(nn.Module):
    def __init__(self, inputs, outputs, affine):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_1 = conv(inputs, outputs // 2, 1, 2)
        self.conv_2 = conv(inputs, outputs // 2, 1, 2)
        self.bn = norm(outputs, affine)

    def forward(self, x):
        x = self.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


def separable(channels, kernel, stride, dilation, affine):
    padding = kernel // 2 * dilation
    return [nn.ReLU(), conv(channels, channels, kernel, stride, padding, dilation, channels), conv(channels, channels, 1),
            norm(channels, affine)]


class SepConv(nn.Module):
    def __init__(self, channels, kernel, stride, affine):
        super().__init__()
        self.op = nn.Sequential(*separable(channels, kernel, stride, 1, affine), *separable(channels, kernel, 1, 1, affine))

    def forward(self, x):
        return self.op(x)


class DilConv(nn.Module):
    def __init__(self, channels, kernel, stride, affine):
        super().__init__()
        self.op = nn.Sequential(*separable(channels, kernel, stride, 2, affine))

    def forward(self, x):
        return self.op(x)


class Attention(nn.Module):
    def __init__(self, name, attention, channels, stride, affine):
        super().__init__()
        if stride == 2:
            self.reduce = FactorizedReduce(channels, channels, affine)
        setattr(self, name, attention)
        self.name, self.stride = name, stride

    def forward(self, x):
        return getattr(self, self.name)(self.reduce(x) if self.stride == 2 else x)


class Zero(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return torch.zeros_like(x[:, :, ::self.stride, ::self.stride])


def candidate(name, channels, stride, affine, reduction):
    kernel = int(name[-1]) if name[-1].isdigit() else None
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if name == "se":
        return Attention("se", SE(channels, reduction, False), channels, stride, affine)
    if name == "eca":
        return Attention("eca", ECA(channels), channels, stride, affine)
    return {"sep": SepConv, "dil": DilConv}[name[:3]](channels, kernel, stride, affine)


class DropPath(nn.Module):
    """Drops whole images with probability `drop`, which its network sets; what is left is scaled up."""

    def __init__(self):
        super().__init__()
        self.drop = 0.0
        self.drawn = None

    def feed(self, streams):
        self.drawn = torch.tensor([stream.uniform() for stream in streams], dtype=torch.float64)

    def forward(self, x):
        if not self.training:
            return x
        kept = (self.drawn < 1 - self.drop).to(x.dtype) / (1 - self.drop)
        return x * kept[:, None, None, None]


class Cell(nn.Module):
    """What both kinds of network have in common: two inputs, brought to the cell's channels."""

    def __init__(self, before_last, last, channels, reduced, affine):
        super().__init__()
        preprocess = FactorizedReduce if reduced else ReLUConvBN
        self.preprocess0 = preprocess(before_last, channels, affine)
        self.preprocess1 = ReLUConvBN(last, channels, affine)

    def inputs(self, before_last, last):
        return [self.preprocess0(before_last), self.preprocess1(last)]


class GenotypeCell(Cell):
    def __init__(self, genotype, before_last, last, channels, reduction_cell, reduced, attention_reduction):
        super().__init__(before_last, last, channels, reduced, True)
        self.edges = genotype.reduce if reduction_cell else genotype.normal
        self.concat = genotype.reduce_concat if reduction_cell else genotype.normal_concat
        self.outputs = channels * len(self.concat)
        self._ops = nn.ModuleList(candidate(name, channels, 2 if reduction_cell and state < 2 else 1, True, attention_reduction)
                                  for name, state in self.edges)
        self.drops = nn.ModuleList(nn.Identity() if isinstance(op, nn.Identity) else DropPath() for op in self._ops)

    def forward(self, before_last, last):
        states = self.inputs(before_last, last)
        for node in range(4):
            states.append(sum(self.drops[i](self._ops[i](states[self.edges[i][1]])) for i in (2 * node, 2 * node + 1)))
        return torch.cat([states[i] for i in self.concat], dim=1)


class MixedOp(nn.Module):
    """All candidates on the first 1/partial of the channels."""

    def __init__(self, names, channels, stride, partial, reduction):
        super().__init__()
        self.seen, self.partial, self.stride = channels // partial, partial, stride
        self._ops = nn.ModuleList()
        for name in names:
            op = candidate(name, self.seen, stride, False, reduction)
            self._ops.append(nn.Sequential(op, norm(self.seen, False)) if "pool" in name else op)
        self.mp = nn.MaxPool2d(2, 2)

    def forward(self, x, weights):
        mixed = sum(w * op(x[:, :self.seen]) for w, op in zip(weights, self._ops))
        if self.partial == 1:
            return mixed
        rest = x[:, self.seen:]
        x = torch.cat([mixed, rest if self.stride == 1 else self.mp(rest)], dim=1)
        n, c, h, w = x.shape
        return x.view(n, self.partial, c // self.partial, h, w).transpose(1, 2).reshape(n, c, h, w)


class SupernetCell(Cell):
    def __init__(self, names, before_last, last, channels, reduction_cell, reduced, partial, attention_reduction):
        super().__init__(before_last, last, channels, reduced, False)
        self.reduction_cell = reduction_cell
        self.outputs = 4 * channels
        self._ops = nn.ModuleList(MixedOp(names, channels, 2 if reduction_cell and state < 2 else 1, partial, attention_reduction)
                                  for node in range(4) for state in range(2 + node))

    def forward(self, before_last, last, weights, betas):
        states, first = self.inputs(before_last, last), 0
        for _ in range(4):
            edges = range(first, first + len(states))
            shares = [1] * len(states) if betas is None else torch.softmax(betas[0, edges.start:edges.stop], dim=-1)
            states.append(sum(share * self._ops[e](x, weights[e]) for share, e, x in zip(shares, edges, states)))
            first = edges.stop
        return torch.cat(states[2:], dim=1)


class Chain(nn.Module):
    """Stem, cells (made by the subclass), head."""

    def build(self, channels, cells, classes, image_channels):
        self.stem = nn.Sequential(conv(image_channels, 3 * channels, 3, padding=1), norm(3 * channels, True))
        self.cells = nn.ModuleList()
        before_last = last = 3 * channels
        reduced = False
        for i in range(cells):
            reduction_cell = i in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduction_cell else 1
            self.cells.append(self.cell(before_last, last, channels, reduction_cell, reduced))
            before_last, last, reduced = last, self.cells[-1].outputs, reduction_cell
        self.classifier = nn.Linear(last, classes)

    def head(self, x):
        return self.classifier(x.mean((2, 3)))


class AuxiliaryHead(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(), nn.AvgPool2d(5, 3, 0, count_include_pad=False), conv(channels, 128, 1), norm(128, True),
            nn.ReLU(), conv(128, 768, 2), norm(768, True), nn.ReLU())
        self.classifier = nn.Linear(768, classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class GenotypeNetwork(Chain):
    def __init__(self, genotype, channels, cells, auxiliary, drop_path, classes, image_channels, reduction=16):
        super().__init__()
        self.cell = lambda *site: GenotypeCell(GENOTYPES[genotype], *site, reduction)
        self.auxiliary_weight, self.drop_path, self.progress, self.second = auxiliary, drop_path, 0.0, 2 * cells // 3
        self.build(channels, cells, classes, image_channels)
        if auxiliary > 0:
            self.auxiliary_head = AuxiliaryHead(self.cells[self.second].outputs, classes)

    def forward(self, x):
        for module in self.modules():
            if isinstance(module, DropPath):
                module.drop = self.drop_path * self.progress
        before_last = last = self.stem(x)
        auxiliary = None
        for i, cell in enumerate(self.cells):
            before_last, last = last, cell(before_last, last)
            if i == self.second and self.training and self.auxiliary_weight > 0:
                auxiliary = self.auxiliary_head(last)
        return self.head(last) if auxiliary is None else (self.head(last), auxiliary)


class Supernet(Chain):
    def __init__(self, space, channels, cells, classes, image_channels, partial=1, attention_in_reduction=0, reduction=16):
        super().__init__()
        normal = SPACES[space]
        reduce = normal if attention_in_reduction else [name for name in normal if name not in ("se", "eca")]
        self.cell = lambda before_last, last, width, reduction_cell, reduced: SupernetCell(
            reduce if reduction_cell else normal, before_last, last, width, reduction_cell, reduced, partial, reduction)
        self.alphas_normal = nn.Parameter(torch.zeros(14, len(normal)))
        self.alphas_reduce = nn.Parameter(torch.zeros(14, len(reduce)))
        self.betas_normal = nn.Parameter(torch.zeros(1, 14)) if partial > 1 else None
        self.betas_reduce = nn.Parameter(torch.zeros(1, 14)) if partial > 1 else None
        self.build(channels, cells, classes, image_channels)

    def forward(self, x):
        before_last = last = self.stem(x)
        for cell in self.cells:
            alphas, betas = ((self.alphas_reduce, self.betas_reduce) if cell.reduction_cell else
                             (self.alphas_normal, self.betas_normal))
            before_last, last = last, cell(before_last, last, torch.softmax(alphas, dim=-1), betas)
        return self.head(last)


def sized(network):
    return lambda sizes, params: network(classes=sizes["classes"], image_channels=sizes["channels"], **params)


MODELS = {"genotype": sized(GenotypeNetwork), "supernet": sized(Supernet)}
