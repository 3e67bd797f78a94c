"""Layers: how they print, what their state holds, first values, results, gradients, errors."""

from __future__ import annotations

from typing import Any

import torch
from common import case, error_of, fill, kind_of, run_with_gradients, values
from torch import nn

F = nn.functional


def described(*modules: Any) -> list[Any]:
    return [[repr(m), [*m.state_dict()], sorted(getattr(m, "__constants__", []))] for m in modules]


@case
def activations_print() -> Any:
    return described(
        nn.Threshold(0.1, 20), nn.Threshold(0.1, 20, True), nn.ReLU(), nn.ReLU(True), nn.RReLU(),
        nn.RReLU(0.1, 0.3, True), nn.Hardtanh(), nn.Hardtanh(-2, 2, True), nn.ReLU6(), nn.ReLU6(True),
        nn.Sigmoid(), nn.Hardsigmoid(), nn.Hardsigmoid(True), nn.Tanh(), nn.SiLU(), nn.SiLU(True),
        nn.Mish(), nn.Mish(True), nn.Hardswish(), nn.Hardswish(True), nn.ELU(), nn.ELU(0.5, True),
        nn.CELU(), nn.CELU(0.5, True), nn.SELU(), nn.SELU(True), nn.GLU(), nn.GLU(1), nn.GELU(),
        nn.GELU("tanh"), nn.Hardshrink(), nn.LeakyReLU(), nn.LeakyReLU(0.2, True), nn.LogSigmoid(),
        nn.Softplus(), nn.Softplus(2, 10), nn.Softshrink(), nn.PReLU(), nn.PReLU(3), nn.Softsign(),
        nn.Tanhshrink(), nn.Softmin(), nn.Softmax(1), nn.Softmax2d(), nn.LogSoftmax(-1),
    )  # fmt: skip


@case
def layers_print() -> Any:
    return described(
        nn.Identity(3, a=4), nn.Linear(3, 2), nn.Linear(3, 2, bias=False), nn.Bilinear(2, 3, 4),
        nn.Embedding(5, 3), nn.Embedding(5, 3, -1), nn.Embedding(5, 3, 1, 2.0, 1.0, True),
        nn.LayerNorm(3), nn.LayerNorm([2, 3], 1e-3, False), nn.LayerNorm(3, bias=False),
        nn.RMSNorm(3), nn.RMSNorm((2, 3), 1e-4, False), nn.GroupNorm(2, 4), nn.GroupNorm(1, 3, affine=False),
        nn.LocalResponseNorm(2), nn.BatchNorm1d(3), nn.BatchNorm2d(3, 1e-3, None), nn.BatchNorm3d(3, affine=False),
        nn.BatchNorm1d(3, track_running_stats=False), nn.InstanceNorm1d(3), nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
        nn.SyncBatchNorm(4), nn.Dropout(), nn.Dropout1d(0.1), nn.Dropout2d(0.2), nn.Dropout3d(0.3, True),
        nn.AlphaDropout(0.4), nn.FeatureAlphaDropout(), nn.Flatten(), nn.Flatten(0, 1), nn.Unflatten(1, (2, 3)),
        nn.CosineSimilarity(), nn.PairwiseDistance(), nn.PixelShuffle(2), nn.PixelUnshuffle(3), nn.ChannelShuffle(2),
    )  # fmt: skip


@case
def windows_print() -> Any:
    return described(
        nn.Conv1d(2, 4, 3), nn.Conv2d(2, 4, 3, 2, 1, groups=2, bias=False), nn.Conv2d(2, 4, (3, 1), padding="same"),
        nn.Conv3d(2, 4, 3, dilation=2, padding_mode="circular", padding=1), nn.Conv1d(4, 4, 1, stride=2, padding="valid"),
        nn.ConvTranspose1d(2, 4, 3, 2, 1, 1), nn.ConvTranspose2d(2, 4, 3, dilation=2), nn.ConvTranspose3d(2, 4, (1, 2, 3), bias=False),
        nn.MaxPool1d(2), nn.MaxPool2d((2, 3), 1, (1, 0)), nn.MaxPool3d(2, ceil_mode=True), nn.AvgPool1d(2),
        nn.AvgPool2d(3, 2, 1), nn.AvgPool3d(2, divisor_override=3), nn.LPPool1d(2, 3), nn.LPPool2d(1.5, (2, 3), 1, True),
        nn.MaxUnpool1d(2), nn.MaxUnpool2d((2, 3), padding=1), nn.AdaptiveAvgPool1d(3), nn.AdaptiveAvgPool2d((None, 2)),
        nn.AdaptiveAvgPool3d(1), nn.AdaptiveMaxPool2d(2), nn.ConstantPad1d(2, 3.5), nn.ConstantPad2d((1, 2, 3, 4), 0),
        nn.ZeroPad1d(1), nn.ZeroPad2d(2), nn.ZeroPad3d(1), nn.ReflectionPad1d(1), nn.ReflectionPad2d((1, 0, 1, 0)),
        nn.ReplicationPad3d(1), nn.CircularPad2d(1),
    )  # fmt: skip


@case
def attention_prints() -> Any:
    return described(
        nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 2, 0.1, False, True, True, 4, 6, True),
        nn.TransformerEncoderLayer(8, 2), nn.TransformerDecoderLayer(8, 2, 16, 0.2, "gelu", bias=False),
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 3),
        nn.Transformer(8, 2, 2, 1, 16, batch_first=True),
    )  # fmt: skip


@case
def losses_print() -> Any:
    return described(
        nn.L1Loss(), nn.NLLLoss(torch.ones(3)), nn.PoissonNLLLoss(), nn.GaussianNLLLoss(), nn.KLDivLoss(), nn.MSELoss(),
        nn.BCELoss(), nn.BCEWithLogitsLoss(pos_weight=torch.ones(2)), nn.HingeEmbeddingLoss(), nn.MultiLabelMarginLoss(),
        nn.SmoothL1Loss(), nn.HuberLoss(), nn.SoftMarginLoss(), nn.CrossEntropyLoss(), nn.MultiLabelSoftMarginLoss(),
        nn.CosineEmbeddingLoss(), nn.MarginRankingLoss(), nn.MultiMarginLoss(), nn.TripletMarginLoss(),
        nn.TripletMarginWithDistanceLoss(),
    )  # fmt: skip


@case
def first_values() -> Any:
    makers = [
        lambda: nn.Linear(3, 2), lambda: nn.Bilinear(2, 3, 2), lambda: nn.Conv1d(2, 2, 3), lambda: nn.Conv2d(2, 4, 3, groups=2),
        lambda: nn.ConvTranspose2d(2, 2, 2), lambda: nn.MultiheadAttention(4, 2), lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=2, add_bias_kv=True),
        lambda: nn.PReLU(2), lambda: nn.Transformer(4, 2, 1, 1, 4), lambda: nn.BatchNorm1d(2), lambda: nn.GroupNorm(1, 2),
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 4), 2),
    ]  # fmt: skip
    result = []
    for make in makers:
        torch.manual_seed(3)
        module = make()
        result.append([p.sum() for p in module.parameters()])
        result.append([p.flatten()[:3] for p in module.parameters()])
    return result


@case
def activations_run() -> Any:
    x = values(3, 4, scale=3.0)
    modules = [
        nn.Threshold(0.1, 20), nn.ReLU(), nn.RReLU().eval(), nn.Hardtanh(), nn.ReLU6(), nn.Sigmoid(), nn.Hardsigmoid(), nn.Tanh(),
        nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.ELU(0.5), nn.CELU(0.5), nn.SELU(), nn.GLU(), nn.GELU(), nn.GELU("tanh"),
        nn.Hardshrink(), nn.LeakyReLU(0.2), nn.LogSigmoid(), nn.Softplus(2, 10), nn.Softshrink(), nn.PReLU(), nn.PReLU(4),
        nn.Softsign(), nn.Tanhshrink(), nn.Softmin(1), nn.Softmax(1), nn.LogSoftmax(0),
    ]  # fmt: skip
    return [run_with_gradients(m, x) for m in modules]


@case
def activations_in_place() -> Any:
    functions = [F.relu, F.relu6, F.hardtanh, F.elu, F.selu, F.celu, F.leaky_relu, F.hardsigmoid, F.hardswish, F.silu, F.mish]
    result = []
    for function in functions:
        x = values(5, scale=3.0).requires_grad_()
        y = x * 1
        z = function(y, inplace=True)
        z.sum().backward()
        result.append([z is y, y, x.grad])
    y = values(5)
    result.append([F.threshold(y, 0.1, 7, True) is y, y, F.leaky_relu(values(3), 0.5, True), F.hardtanh(values(3), -0.1, 0.1, True)])
    return result


@case
def layers_run() -> Any:
    x = values(4, 3)
    index = torch.tensor([[0, 2, 4], [1, 1, 3]])
    images = values(2, 4, 3, 3)
    return [
        run_with_gradients(fill(nn.Linear(3, 2)), x),
        run_with_gradients(fill(nn.Linear(3, 2, bias=False)), values(2, 2, 3)),
        run_with_gradients(fill(nn.Bilinear(3, 2, 4)), values(2, 5, 3), values(2, 5, 2)),
        run_with_gradients(fill(nn.Embedding(5, 3)), index),
        run_with_gradients(fill(nn.Embedding(5, 3, padding_idx=1)), index),
        run_with_gradients(fill(nn.Embedding(5, 3, scale_grad_by_freq=True)), index),
        run_with_gradients(fill(nn.LayerNorm(3)), x),
        run_with_gradients(fill(nn.LayerNorm((3, 3), bias=False)), images),
        run_with_gradients(fill(nn.RMSNorm(3)), x),
        run_with_gradients(fill(nn.GroupNorm(2, 4)), images),
        run_with_gradients(nn.LocalResponseNorm(3, 0.5, 0.6, 2.0), images),
        run_with_gradients(nn.LocalResponseNorm(2), values(2, 5, 3)),
        run_with_gradients(nn.Flatten(1, 2), images),
        run_with_gradients(nn.Unflatten(1, (2, 2)), images),
        run_with_gradients(nn.Unflatten(-1, [3, 1]), images),
        run_with_gradients(nn.CosineSimilarity(), x, x.flip(0)),
        run_with_gradients(nn.PairwiseDistance(1.5, keepdim=True), x, x.flip(0)),
        run_with_gradients(nn.PixelShuffle(2), images),
        run_with_gradients(nn.ChannelShuffle(2), images),
        run_with_gradients(nn.Softmax2d(), images),
    ]


@case
def max_norm() -> Any:
    layer = fill(nn.Embedding(4, 3, max_norm=0.5, norm_type=1.0))
    out = layer(torch.tensor([0, 2]))
    return [out, layer.weight, kind_of(lambda: nn.Embedding(4, 3, padding_idx=7)), kind_of(lambda: nn.Embedding.from_pretrained(values(3)))]


@case
def pretrained() -> Any:
    layer = nn.Embedding.from_pretrained(values(3, 2), padding_idx=1)
    return [layer, layer.weight.requires_grad, layer(torch.tensor([2, 0]))]


@case
def batch_norms() -> Any:
    result: list[Any] = []
    for make, shape in [
        (lambda: nn.BatchNorm1d(3), (4, 3)), (lambda: nn.BatchNorm1d(3, 1e-2, 0.3), (2, 3, 5)),
        (lambda: nn.BatchNorm2d(3, momentum=None), (2, 3, 2, 2)), (lambda: nn.BatchNorm3d(3, affine=False), (2, 3, 2, 1, 2)),
        (lambda: nn.BatchNorm1d(3, track_running_stats=False), (4, 3)), (lambda: nn.InstanceNorm1d(3), (2, 3, 5)),
        (lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True), (2, 3, 2, 2)), (lambda: nn.InstanceNorm1d(3, affine=True), (3, 5)),
    ]:  # fmt: skip
        module = fill(make())
        for _ in range(2):
            for p in module.parameters():
                p.grad = None
            result.append(run_with_gradients(module, values(*shape, scale=2.0)))
        result.append([b for _, b in module.named_buffers()])
        for p in module.parameters():
            p.grad = None
        result.append(run_with_gradients(module.eval(), values(*shape)))
    return result


@case
def norm_errors() -> Any:
    return [
        error_of(lambda: nn.BatchNorm1d(3)(values(2, 3, 2, 2))),
        error_of(lambda: nn.BatchNorm2d(3)(values(2, 3))),
        error_of(lambda: nn.BatchNorm3d(3)(values(2, 3))),
        error_of(lambda: nn.BatchNorm1d(3)(values(1, 3))),
        error_of(lambda: nn.InstanceNorm1d(3)(values(2, 3, 1))),
        error_of(lambda: nn.InstanceNorm2d(3)(values(2, 3))),
        error_of(lambda: nn.InstanceNorm1d(4, affine=True)(values(2, 3, 5))),
        kind_of(lambda: nn.BatchNorm1d(4)(values(2, 3))),
        error_of(lambda: nn.GroupNorm(3, 4)),
        kind_of(lambda: nn.LocalResponseNorm(2)(values(2, 3))),
    ]


@case
def convolutions() -> Any:
    return [
        run_with_gradients(fill(nn.Conv1d(2, 3, 2)), values(2, 2, 5)),
        run_with_gradients(fill(nn.Conv1d(2, 4, 3, padding="same", dilation=2, groups=2)), values(2, 2, 5)),
        run_with_gradients(fill(nn.Conv2d(2, 3, (2, 3), 2, 1, bias=False)), values(2, 2, 4, 4)),
        run_with_gradients(fill(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")), values(1, 1, 3, 4)),
        run_with_gradients(fill(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")), values(1, 3, 4)),
        run_with_gradients(fill(nn.Conv2d(1, 2, 4, padding="same", padding_mode="replicate")), values(1, 1, 4, 4)),
        run_with_gradients(fill(nn.Conv3d(1, 2, 2)), values(1, 1, 2, 3, 3)),
        run_with_gradients(fill(nn.ConvTranspose1d(2, 3, 3, 2, 1, 1)), values(2, 2, 4)),
        run_with_gradients(fill(nn.ConvTranspose2d(2, 2, 3, 2, groups=2)), values(1, 2, 3, 3), output_size=(8, 7)),
        run_with_gradients(fill(nn.ConvTranspose3d(1, 1, 2)), values(1, 1, 2, 2, 2)),
    ]


@case
def convolution_errors() -> Any:
    return [
        error_of(lambda: nn.Conv2d(3, 4, 3, groups=2)),
        error_of(lambda: nn.Conv2d(4, 3, 3, groups=2)),
        error_of(lambda: nn.Conv2d(4, 4, 3, groups=0)),
        kind_of(lambda: nn.Conv2d(4, 4, 3, padding="big")),
        error_of(lambda: nn.Conv2d(4, 4, 3, stride=2, padding="same")),
        kind_of(lambda: nn.Conv2d(4, 4, 3, padding_mode="mirror")),
        error_of(lambda: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect")),
        error_of(lambda: nn.ConvTranspose2d(1, 1, 3)(values(1, 1, 2, 2), output_size=(9, 9))),
        error_of(lambda: nn.ConvTranspose2d(1, 1, 3)(values(1, 1, 2, 2), output_size=(9, 9, 9))),
        kind_of(lambda: nn.Conv2d(3, 4, 3)(values(1, 2, 4, 4))),
    ]


@case
def pools() -> Any:
    x, y, z = values(2, 2, 6), values(1, 2, 4, 6), values(1, 1, 4, 4, 4)
    return [
        run_with_gradients(nn.MaxPool1d(2), x),
        run_with_gradients(nn.MaxPool1d(3, 2, 1, return_indices=True), x),
        run_with_gradients(nn.MaxPool2d((2, 3), ceil_mode=True, stride=(2, 2)), y),
        run_with_gradients(nn.MaxPool2d(2, return_indices=True), y),
        run_with_gradients(nn.MaxPool3d(2), z),
        run_with_gradients(nn.AvgPool1d(3, 2, 1), x),
        run_with_gradients(nn.AvgPool2d(2, 1, 1, count_include_pad=False), y),
        run_with_gradients(nn.AvgPool2d(2, divisor_override=3), y),
        run_with_gradients(nn.AvgPool3d(2), z),
        run_with_gradients(nn.LPPool1d(2, 2), x),
        run_with_gradients(nn.LPPool2d(2, (2, 3)), y),
        run_with_gradients(nn.LPPool3d(2, 2), z),
        run_with_gradients(nn.AdaptiveAvgPool1d(4), x),
        run_with_gradients(nn.AdaptiveAvgPool2d((None, 4)), y),
        run_with_gradients(nn.AdaptiveAvgPool3d(2), z),
    ]


@case
def unpools() -> Any:
    x, y = values(1, 2, 6), values(1, 1, 4, 4)
    a, i = nn.MaxPool1d(2, return_indices=True)(x)
    b, j = nn.MaxPool2d(2, return_indices=True)(y)
    return [
        run_with_gradients(nn.MaxUnpool1d(2), a, i),
        run_with_gradients(nn.MaxUnpool1d(2), a, i, output_size=(1, 2, 7)),
        run_with_gradients(nn.MaxUnpool2d(2), b, j),
        run_with_gradients(nn.MaxUnpool2d(2), b, j, output_size=[5, 5]),
        error_of(lambda: nn.MaxUnpool2d(2)(b, j, output_size=[9, 9])),
        error_of(lambda: nn.MaxUnpool2d(2)(b, j, output_size=[9])),
        kind_of(lambda: nn.MaxUnpool2d(2)(b, j + 100)),
        kind_of(lambda: nn.MaxUnpool2d(2)(b, j[:, :, :1])),
    ]


@case
def paddings() -> Any:
    x, y = values(1, 2, 4), values(1, 1, 3, 3)
    return [
        run_with_gradients(m, t)
        for m, t in [
            (nn.ConstantPad1d(2, 3.5), x), (nn.ConstantPad1d((1, -1), 3.5), x), (nn.ConstantPad2d((1, 2, 0, 1), 0.5), y), (nn.ZeroPad2d(1), y),
            (nn.ReflectionPad1d(2), x), (nn.ReflectionPad2d((1, 0, 2, 1)), y), (nn.ReplicationPad1d((3, 1)), x),
            (nn.ReplicationPad2d(1), y), (nn.CircularPad1d(2), x), (nn.CircularPad2d((1, 2, 0, 1)), y),
        ]
    ]  # fmt: skip


@case
def attention_runs() -> Any:
    result: list[Any] = []
    q, k, v = values(3, 2, 4), values(5, 2, 4, scale=0.7), values(5, 2, 4, scale=1.3)
    mask = torch.zeros(3, 5).masked_fill_(torch.arange(15).reshape(3, 5) % 4 == 1, float("-inf"))
    padding = torch.tensor([[False, False, False, True, True], [False, True, False, False, False]])
    plain = fill(nn.MultiheadAttention(4, 2))
    result.append(run_with_gradients(plain, q, k, v))
    result.append(run_with_gradients(fill(nn.MultiheadAttention(4, 2)), q, k, v, need_weights=False, attn_mask=mask))
    result.append(run_with_gradients(fill(nn.MultiheadAttention(4, 2)), q, k, v, key_padding_mask=padding, average_attn_weights=False))
    result.append(run_with_gradients(fill(nn.MultiheadAttention(4, 2)), q, k, v, key_padding_mask=padding, need_weights=False, attn_mask=mask == 0.5))
    result.append(plain(q, q, q, attn_mask=torch.triu(torch.ones(3, 3), 1).bool(), is_causal=True, need_weights=False))
    result.append(plain(q, q, q, attn_mask=torch.triu(torch.ones(3, 3), 1).bool(), is_causal=True))
    result.append(plain(q, q, q, attn_mask=values(4, 3, 3), need_weights=False))
    result.append(plain(q[:, 0], k[:, 0], v[:, 0], key_padding_mask=padding[0]))
    batch_first = fill(nn.MultiheadAttention(4, 2, batch_first=True, add_bias_kv=True, add_zero_attn=True))
    result.append(run_with_gradients(batch_first, values(2, 3, 4), values(2, 5, 4), values(2, 5, 4), attn_mask=mask, key_padding_mask=padding))
    result.append(run_with_gradients(fill(nn.MultiheadAttention(4, 2, kdim=3, vdim=2, bias=False)), q, values(5, 2, 3), values(5, 2, 2)))
    return result


@case
def attention_errors() -> Any:
    m = nn.MultiheadAttention(4, 2)
    q = values(3, 2, 4)
    return [
        error_of(lambda: nn.MultiheadAttention(5, 2)),
        error_of(lambda: nn.MultiheadAttention(0, 2)),
        error_of(lambda: m(q, q, q, is_causal=True)),
        error_of(lambda: m(q, q, q, attn_mask=torch.zeros(3, 4))),
        error_of(lambda: m(q, q, q, attn_mask=torch.zeros(3, 3, 3))),
        error_of(lambda: m(q, q, q, attn_mask=torch.zeros(3, 3, dtype=torch.int64))),
        kind_of(lambda: m(q, q[0], q)),
        kind_of(lambda: m(q, q, q, key_padding_mask=torch.zeros(3, 3).bool())),
        error_of(lambda: nn.TransformerEncoderLayer(4, 2, activation="tanh")),
    ]


@case
def transformers_run() -> Any:
    src, tgt = values(5, 2, 4), values(3, 2, 4, scale=0.7)
    padding = torch.tensor([[False, False, False, True, True], [False, True, False, False, False]])
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    result: list[Any] = [causal]
    result.append(run_with_gradients(fill(nn.TransformerEncoderLayer(4, 2, 6, 0.0)), src))
    result.append(run_with_gradients(fill(nn.TransformerEncoderLayer(4, 2, 6, 0.0, "gelu", norm_first=True, bias=False)), src, causal))
    result.append(run_with_gradients(fill(nn.TransformerEncoderLayer(4, 2, 6, 0.0)), src, src_key_padding_mask=padding))
    result.append(run_with_gradients(fill(nn.TransformerDecoderLayer(4, 2, 6, 0.0)), tgt, src, memory_key_padding_mask=padding))
    result.append(run_with_gradients(fill(nn.TransformerDecoderLayer(4, 2, 6, 0.0, norm_first=True)), tgt, src, causal[:3, :3]))
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 6, 0.0), 2, nn.LayerNorm(4))
    result.append(run_with_gradients(fill(encoder), src, causal))
    result.append(run_with_gradients(fill(nn.Transformer(4, 2, 1, 1, 6, 0.0)), src, tgt, tgt_mask=causal[:3, :3], src_key_padding_mask=padding))
    whole = fill(nn.Transformer(4, 2, 1, 1, 6, 0.0, batch_first=True))
    result.append(whole(src.transpose(0, 1), tgt.transpose(0, 1)))
    result.append(error_of(lambda: whole(src[..., :3], tgt)))
    result.append(error_of(lambda: whole(src, tgt)))
    return result
