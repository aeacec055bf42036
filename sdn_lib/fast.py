"""What makes the paper's five files fast, and changes nothing that they compute.

Each piece stands for a plain expression, which its docstring gives; whoever reads the method can
put that in its place. `benchmarks/bench_training.py` times training: *plain* has none of them,
*fast* all, *greedy* keeps even more memory. `benchmarks/bench_sampling.py` times `embed`. What each
is worth alone is in `benchmarks/README.md`.

================== ===========================================================================
conv_of_enlarged   a tenth of stage one's step at the paper's size
mean_absolute      half the memory that a loss keeps, a third of its time
without_autocast   0.45 GB of copies of the fully connected weights, in a step under bf16
keep_freed_memory  a fifth of a step at the paper's size (*greedy*: a quarter)
embed              two thirds of the time of reading many captions
================== ===========================================================================
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WORTH_SPLITTING = 2e9
"""Multiply-adds of a convolution from which `upsampled_conv` was faster on a CPU."""


def conv_of_enlarged(conv: nn.Conv2d, small: Tensor, enlarged: Tensor) -> Tensor:
    """Return `conv(enlarged)`, where `enlarged` is `small` after a nearest 2x upsampling."""
    if enlarged.numel() * conv.weight[:, 0].numel() > WORTH_SPLITTING:
        return upsampled_conv(small, conv.weight, conv.bias)  # type: ignore[arg-type]  # has one
    return conv(enlarged)


def upsampled_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return conv2d(nearest 2x upsample of x, weight, bias, padding=1), at 4/9 of its cost.

    x (n, c, h, w), weight (o, c, 3, 3) -> (n, o, 2h, 2w). An output in an even row sees its three
    rows of the enlarged map as two of x: one through the kernel's first row, one through the sum of
    the other two. Odd rows and columns likewise: four kernels of 2x2.
    """
    top, middle, bottom = weight.unbind(2)
    even = torch.stack([top, middle + bottom], 2)
    odd = torch.stack([top + middle, bottom], 2)
    kernels = []
    for rows in (even, odd):
        left, centre, right = rows.unbind(3)
        kernels.append(torch.stack([left, centre + right], 3))
        kernels.append(torch.stack([left + centre, right], 3))
    kernel = torch.cat(kernels).contiguous(memory_format=torch.channels_last)
    return _Interleave.apply(F.conv2d(x, kernel, bias.repeat(4), padding=1))


class _Interleave(torch.autograd.Function):
    """Maps (n, 4 o, h + 1, w + 1) of the four kernels -> (n, o, 2h, 2w), channels last."""

    @staticmethod
    def _phases(y: Tensor) -> list[tuple[int, int, Tensor]]:
        parts = y.unflatten(1, (2, 2, -1))
        height, width = y.shape[2] - 1, y.shape[3] - 1
        return [
            (a, b, parts[:, a, b, :, a : a + height, b : b + width])
            for a in range(2)
            for b in range(2)
        ]

    @staticmethod
    def forward(ctx, y: Tensor) -> Tensor:
        n, channels, height, width = y.shape
        shape = n, channels // 4, 2 * height - 2, 2 * width - 2
        whole = torch.empty(shape, dtype=y.dtype, device=y.device)
        whole = whole.contiguous(memory_format=torch.channels_last)
        for a, b, part in _Interleave._phases(y):
            whole[:, :, a::2, b::2] = part
        ctx.shape = y.shape
        return whole

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        y = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device)
        y = y.contiguous(memory_format=torch.channels_last)
        y[:, :, [0, -1]] = 0
        y[:, :, :, [0, -1]] = 0
        for a, b, part in _Interleave._phases(y):
            part.copy_(gradient[:, :, a::2, b::2])
        return y


def mean_absolute(got: Tensor, want: Tensor) -> Tensor:
    """Return `(got - want).abs().mean()`; no gradient flows into `want`."""
    return _MeanAbsolute.apply(got, want.detach())


class _MeanAbsolute(torch.autograd.Function):
    """The mean absolute difference, summed in float32 at least; the gradient is a scaled sign.

    Autograd's own would copy both sides to float32 under bf16 and keep the difference. Here one
    byte an element is kept, and on a CPU the work is done in parts that fit into its cache.
    """

    @staticmethod
    def forward(ctx, got: Tensor, want: Tensor) -> Tensor:
        got = got.contiguous(memory_format=_format(got))
        ctx.like = got.shape, got.stride(), got.dtype
        flat, other = _flat(got), _flat(want.contiguous(memory_format=_format(got)))
        sign = torch.empty_like(flat, dtype=torch.int8)
        totals = []
        for part in _parts(flat):
            difference = flat[part] - other[part]
            totals.append(difference.abs().sum(dtype=at_least_float32(difference)))
            sign[part] = difference.sign_()
        ctx.save_for_backward(sign)
        return torch.stack(totals).sum() / len(flat)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (sign,) = ctx.saved_tensors
        shape, stride, dtype = ctx.like
        whole = torch.empty_strided(shape, stride, dtype=dtype, device=sign.device)
        flat, scale = _flat(whole), gradient / len(sign)
        for part in _parts(flat):
            flat[part].copy_(sign[part]).mul_(scale)
        return whole, None


def _parts(flat: Tensor, size: int = 1 << 18) -> list[slice]:
    """Return slices that cover a flat tensor: in pieces on a CPU, whole elsewhere."""
    size = size if flat.device.type == "cpu" else len(flat)
    return [slice(start, start + size) for start in range(0, len(flat), size)]


def _format(x: Tensor) -> torch.memory_format:
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _flat(x: Tensor) -> Tensor:
    """Return a dense tensor's elements in the order in which they lie in memory, as a view."""
    return (x.permute(0, 2, 3, 1) if _format(x) == torch.channels_last else x).view(-1)


def at_least_float32(x: Tensor) -> torch.dtype:
    """Return the dtype in which a sum over x is taken: float32, or x's own where that is wider."""
    return torch.promote_types(x.dtype, torch.float32)


def without_autocast(device: str) -> AbstractContextManager:
    """Compute in the weights' own precision inside, on a device of this type."""
    known = torch.amp.is_autocast_available(device)  # not on 'meta'
    return torch.autocast(device, enabled=False) if known else nullcontext()


def keep_freed_memory() -> bool:
    """Let this process reuse the memory that it frees; say whether that could be arranged.

    The C library gives large blocks back to the system at once, and every new one costs the time
    of mapping and zeroing its pages. Here only more than 28 MiB in a piece go back:
    keeping those too is faster by a fifth at the paper's size, and leaves holes in memory that cost
    half a gigabyte. Only glibc is asked, and only where no variable MALLOC_* says what the user
    wants.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    largest = 28 << 20
    trim_threshold, mmap_threshold = -1, -3  # glibc's malloc.h
    return bool(mallopt(mmap_threshold, largest) and mallopt(trim_threshold, largest))


TOO_FEW = 8
"""Captions of one batch up to which `embed` gains nothing: they repeat little of each other."""


def embed(encoder: Any, characters: Tensor) -> Tensor:
    """Return `encoder(characters)` of a CharCNNRNN, to float32's rounding, without a graph.

    Captions repeat words and end in blanks, so the kernels see much of the same: in 2,048 captions
    of painted birds one window in thirty of six characters is distinct, and one in two of
    twenty-one. Each distinct one is computed once. On a GPU, which would wait for the counting, all
    windows are computed.
    """
    if characters.device.type != "cpu" or len(characters) <= TOO_FEW:
        return torch.cat([encoder(part) for part in characters.split(256)])
    layers: list[Any] = list(encoder.convolutions)
    first, threshold, _, second, _, _, third, _, *pool = layers
    with without_autocast("cpu"):
        cells, ids = _pooled_once(first, threshold, encoder.one_hot, characters)
        cells, ids = _pooled_once(second, threshold, cells, ids)
        windows, ids = _distinct(ids.unfold(1, third.kernel_size[0], 1), len(cells))
        cells = threshold(_sum_of_columns(third, cells, windows))
        if pool:  # eight short steps of the smaller variant
            x = pool[0](cells[ids].transpose(1, 2)).transpose(1, 2)
            return encoder.project(encoder.recurrent(x)[0].mean(1))
        return encoder.project(_mean_of_gru(encoder.recurrent, cells, ids))


def _pooled_once(
    conv: nn.Conv1d, threshold: nn.Module, cells: Tensor, ids: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the distinct cells, and which of them stands where, of a stage of the encoder.

    That stage is `max_pool1d(threshold(conv(x)), 3)` of x = `cells[ids]`, cells (v, c), ids (n, t).
    """
    kernel = conv.kernel_size[0]
    windows, ids = _distinct(ids.unfold(1, kernel + 2, 3), len(cells))
    pooled = _sum_of_columns(conv, cells, windows.unfold(1, kernel, 1)).amax(1)
    return threshold(pooled), ids


def _distinct(windows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the distinct ones (d, k) of windows (n, t, k) of ids below `count`.

    Also which of them stands where, (n, t). A window's ids are the digits of one number, by which
    it is known.
    """
    numbers, below = windows[..., 0], count
    for digit in windows.unbind(-1)[1:]:
        if below * count >= 2**63:
            numbers = torch.unique(numbers, return_inverse=True)[1]
            below = int(numbers.max()) + 1
        numbers, below = numbers * count + digit, below * count
    found, ids = torch.unique(numbers, return_inverse=True)
    place = ids.new_empty(len(found))
    place[ids.flatten()] = torch.arange(ids.numel())  # of one of those that are equal
    return windows.flatten(0, 1)[place], ids


def _sum_of_columns(conv: nn.Conv1d, cells: Tensor, windows: Tensor) -> Tensor:
    """Return `conv` at windows (..., k) of the ids of cells (v, c): (..., out).

    The products of every cell with each of the kernel's k columns are made once and looked up.
    """
    columns = cells @ conv.weight.permute(1, 2, 0).flatten(1)
    rows = windows * windows.shape[-1] + torch.arange(windows.shape[-1])
    total = F.embedding_bag(rows.flatten(0, -2), columns.view(-1, conv.out_channels), mode="sum")
    bias = 0 if conv.bias is None else conv.bias
    return total.view(*windows.shape[:-1], -1).add_(bias)


def _mean_of_gru(gru: nn.RNNBase, cells: Tensor, ids: Tensor) -> Tensor:
    """Return the mean over time, (n, hidden), of `gru(cells[ids])`, cells (d, c), ids (n, t).

    What the gates see of a cell is the same wherever it stands.
    """
    size, both = gru.hidden_size, 2 * gru.hidden_size  # the gates reset and update stand first
    of_cell, of_state, bias, state_bias = gru.all_weights[0]
    table = F.linear(cells, of_cell, bias)
    table[:, :both] += state_bias[:both]
    state = total = cells.new_zeros(len(ids), size)
    for step in ids.unbind(1):
        seen = table[step]
        reset, update = seen[:, :both].addmm_(state, of_state[:both].T).sigmoid_().split(size, 1)
        past = F.linear(state, of_state[both:], state_bias[both:])
        new = torch.addcmul(seen[:, both:], reset, past).tanh_()
        state = torch.lerp(new, state, update)
        total = total + state
    return total / ids.shape[1]
