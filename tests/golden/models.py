"""The reference networks in PyTorch: their module names are the names in our checkpoints and of GET /api/v1/jobs/{id}/layers.

ResNet-18 has torchvision's names (3x3 stem, no max-pool). Everything that has a kink is a module of its own (nn.ReLU, nn.MaxPool2d), and
everything that draws is one, too (Shake), so that whoever makes golden files can watch the one and feed the other.
"""
import math

import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}


class SE(nn.Module):
    """Squeeze-and-excitation: Hu et al., 2018."""

    def __init__(self, channels, reduction, bias):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Linear(channels, hidden, bias=bias)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden, channels, bias=bias)

    def forward(self, x):
        gate = torch.sigmoid(self.fc2(self.relu(self.fc1(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


class ECA(nn.Module):
    """Efficient channel attention: Wang et al., 2020."""

    def __init__(self, channels):
        super().__init__()
        t = int(abs((math.log2(channels) + 1) / 2))
        kernel = t if t % 2 else t + 1
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x):
        gate = torch.sigmoid(self.conv(x.mean((2, 3))[:, None])[:, 0])
        return x * gate[:, :, None, None]


class BasicBlock(nn.Module):
    def __init__(self, inplanes, planes, stride, activation, attention):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = activation()
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.attention = None
        if attention is not None:  # registered as "se" or "eca"
            self.attention = attention[0]
            setattr(self, attention[0], attention[1](planes))
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.attention is not None:
            out = getattr(self, self.attention)(out)
        return self.relu(out + identity)


class ResNet(nn.Module):
    def __init__(self, layers=(2, 2, 2, 2), width=64, classes=10, channels=3, activation=nn.ReLU, attention=None):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = activation()
        planes = width
        for i, blocks in enumerate(layers):
            stage, inplanes, planes = [], planes, width << i
            for j in range(blocks):
                stage.append(BasicBlock(inplanes if j == 0 else planes, planes, 2 if i > 0 and j == 0 else 1, activation, attention))
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(planes, classes)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def resnet18(attention="none", reduction=16, attention_bias=0, activation="relu", **options):
    modules = {"none": None, "se": ("se", lambda planes: SE(planes, int(reduction), bool(attention_bias))), "eca": ("eca", ECA)}
    return ResNet(activation=ACTIVATIONS[activation], attention=modules[attention], **options)


class ConvNorm(nn.Module):
    """conv3x3-BN-ReLU."""

    def __init__(self, inplanes, planes):
        super().__init__()
        self.conv = nn.Conv2d(inplanes, planes, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.bn(self.conv(x)))


class Resnet9Stage(ConvNorm):
    """ConvNorm, max-pool 2 and, if `residual`, x + two more of x."""

    def __init__(self, inplanes, planes, residual):
        super().__init__(inplanes, planes)
        self.pool = nn.MaxPool2d(2)
        self.residual = residual
        if residual:
            self.res1 = ConvNorm(planes, planes)
            self.res2 = ConvNorm(planes, planes)

    def forward(self, x):
        x = self.pool(super().forward(x))
        return x + self.res2(self.res1(x)) if self.residual else x


class ResNet9(nn.Module):
    """Page, 2018: "How to train your ResNet"."""

    def __init__(self, width=64, classes=10, channels=3, size=32):
        super().__init__()
        self.prep = ConvNorm(channels, width)
        self.layer1 = Resnet9Stage(width, 2 * width, True)
        self.layer2 = Resnet9Stage(2 * width, 4 * width, False)
        self.layer3 = Resnet9Stage(4 * width, 8 * width, True)
        self.pool = nn.MaxPool2d(size // 8)
        self.fc = nn.Linear(8 * width, classes, bias=False)

    def forward(self, x):
        x = self.pool(self.layer3(self.layer2(self.layer1(self.prep(x)))))
        return 0.125 * self.fc(torch.flatten(x, 1))


class AirbenchGroup(nn.Module):
    def __init__(self, inplanes, planes):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, 1, 1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.bn1 = nn.BatchNorm2d(planes, eps=1e-12, momentum=0.4)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes, eps=1e-12, momentum=0.4)
        self.gelu = nn.GELU()
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight.data[:conv.weight.size(1)])
        for bn in (self.bn1, self.bn2):
            bn.weight.requires_grad = False

    def forward(self, x):
        x = self.gelu(self.bn1(self.pool(self.conv1(x))))
        return self.gelu(self.bn2(self.conv2(x)))


class Airbench94(nn.Module):
    """Jordan, 2024: "94% on CIFAR-10 in 3.29 seconds on a single GPU"."""

    def __init__(self, width=64, classes=10, channels=3, size=32):
        super().__init__()
        self.whiten = nn.Conv2d(channels, 8 * channels, 2)
        self.whiten.weight.requires_grad = False
        self.gelu = nn.GELU()
        self.group1 = AirbenchGroup(8 * channels, width)
        self.group2 = AirbenchGroup(width, 4 * width)
        self.group3 = AirbenchGroup(4 * width, 4 * width)
        self.pool = nn.MaxPool2d((size - 1) // 8)
        self.fc = nn.Linear(4 * width, classes, bias=False)

    def forward(self, x):
        x = self.group3(self.group2(self.group1(self.gelu(self.whiten(x)))))
        return self.fc(torch.flatten(self.pool(x), 1)) / 9


class ShakeFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, a, b):
        ctx.b = b
        return a * x + (1 - a) * y

    @staticmethod
    def backward(ctx, grad):
        return ctx.b * grad, (1 - ctx.b) * grad, None, None


class Shake(nn.Module):
    """a x + (1-a) y, one a an image; backward with another one, or, if `backward` is "keep", the same. 1/2 in eval mode."""

    def __init__(self, backward):
        super().__init__()
        self.backward_is = backward
        self.drawn = None

    def feed(self, streams):
        """What is drawn next: a stream of uniform numbers an image."""
        self.drawn = torch.tensor([[stream.uniform(), stream.uniform()] for stream in streams], dtype=torch.float64).T

    def forward(self, x, y):
        if not self.training:
            return (x + y) / 2
        a, b = torch.rand(2, len(x)) if self.drawn is None else self.drawn
        if self.backward_is == "keep":
            b = a
        return ShakeFunction.apply(x, y, a.to(x.dtype)[:, None, None, None], b.to(x.dtype)[:, None, None, None])


class ShakeBranch(nn.Module):
    def __init__(self, inplanes, planes, stride):
        super().__init__()
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)

    def forward(self, x):
        return self.bn2(self.conv2(self.relu2(self.bn1(self.conv1(self.relu1(x))))))


class ShakeSkip(nn.Module):
    """ReLU; two subsamplings, the second of the image shifted by one pixel; 1x1 each to half of the channels; BN."""

    def __init__(self, inplanes, planes, stride):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(inplanes, planes // 2, 1, stride, bias=False)
        self.conv2 = nn.Conv2d(inplanes, planes - planes // 2, 1, stride, bias=False)
        self.bn = nn.BatchNorm2d(planes)

    def forward(self, x):
        x = self.relu(x)
        shifted = nn.functional.pad(x, (1, -1, 1, -1))
        return self.bn(torch.cat([self.conv1(x), self.conv2(shifted)], 1))


class ShakeBlock(nn.Module):
    def __init__(self, inplanes, planes, stride, backward):
        super().__init__()
        self.branch1 = ShakeBranch(inplanes, planes, stride)
        self.branch2 = ShakeBranch(inplanes, planes, stride)
        self.shake = Shake(backward)
        self.skip = ShakeSkip(inplanes, planes, stride) if inplanes != planes else None

    def forward(self, x):
        skip = x if self.skip is None else self.skip(x)
        return skip + self.shake(self.branch1(x), self.branch2(x))


class ShakeShake(nn.Module):
    """Gastaldi, 2017: 26 2 x width d."""

    def __init__(self, width=32, classes=10, channels=3, backward="shake"):
        super().__init__()
        self.stem = nn.Sequential()
        self.stem.add_module("conv", nn.Conv2d(channels, 16, 3, 1, 1, bias=False))
        self.stem.add_module("bn", nn.BatchNorm2d(16))
        inplanes = 16
        for i in range(3):
            stage, planes = [], width << i
            for j in range(4):
                stage.append(ShakeBlock(inplanes, planes, 2 if i > 0 and j == 0 else 1, backward))
                inplanes = planes
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inplanes, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        return self.fc(torch.flatten(self.avgpool(self.relu(x)), 1))


def sized(network):
    """For networks whose last pooling takes the whole image: `size` is passed on."""
    return lambda sizes, params: network(**sizes, **params)


def sizeless(network):
    return lambda sizes, params: network(channels=sizes["channels"], classes=sizes["classes"], **params)


# name in leased's table of models -> a function of the images' size and channels and the classes, and of the row's parameters
MODELS = {
    "resnet18": sizeless(resnet18),
    "resnet9": sized(ResNet9),
    "airbench94": sized(Airbench94),
    "shake_shake": sizeless(ShakeShake),
}
