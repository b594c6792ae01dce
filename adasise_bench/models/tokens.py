"""Feature maps in the outputs of transformers, which give tokens or channels that come last."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import nn


class MapLayout(NamedTuple):
    """How the output of a module holds C feature maps of h x w positions.

    Attributes:
        kind: ``maps`` for (N, C, h, w), ``channels-last`` for (N, h, w, C), ``tokens`` for (N, p + h·w, C).
        size: h and w.
        prefix: p, the number of tokens in front of those of the positions: class token and registers.
    """

    kind: Literal["maps", "channels-last", "tokens"]
    size: tuple[int, int]
    prefix: int = 0

    def maps(self, output: torch.Tensor) -> torch.Tensor:
        """The feature maps of an output, (N, C, h, w), without the tokens in front."""
        if self.kind == "maps":
            return output
        if self.kind == "channels-last":
            return output.permute(0, 3, 1, 2)
        return output[:, self.prefix :].transpose(1, 2).reshape(len(output), -1, *self.size)

    def output(self, maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """An output that holds these maps, with the tokens in front of another.

        Args:
            maps: (N, C, h, w).
            like: an output of the module, for N inputs or for one.
        """
        if self.kind == "maps":
            return maps
        if self.kind == "channels-last":
            return maps.permute(0, 2, 3, 1)
        front = like[:, : self.prefix].expand(len(maps), -1, -1)
        return torch.cat([front, maps.flatten(2).transpose(1, 2)], dim=1)


def layout_of(output: object, frame: tuple[int, int], prefixes: tuple[int, ...]) -> MapLayout | None:
    """How a module's output holds feature maps; ``None`` if it holds none.

    An output of four dimensions has its channels last if its second and third dimension have the proportions
    of the input, and its third and fourth have not. Tokens must be as many as the positions of a grid with
    the proportions of the input, after those in front.

    Args:
        output: what the module returned.
        frame: height and width of the network's input.
        prefixes: the possible numbers of tokens in front; the first that fits is taken.

    Example:
        >>> import torch
        >>> from adasise_bench.models.tokens import layout_of
        >>> layout_of(torch.zeros(1, 197, 192), (224, 224), (0, 1))  # 14 times 14, and a class token
        MapLayout(kind='tokens', size=(14, 14), prefix=1)
    """
    if not isinstance(output, torch.Tensor):
        return None
    if output.ndim == 4:
        _, first, second, third = output.shape
        if in_proportion((first, second), frame) and not in_proportion((second, third), frame):
            return MapLayout("channels-last", (first, second))
        return MapLayout("maps", (second, third))
    if output.ndim == 3:
        for prefix in prefixes:
            size = _grid(output.shape[1] - prefix, frame)
            if size is not None:
                return MapLayout("tokens", size, prefix)
    return None


def in_proportion(size: tuple[int, int], frame: tuple[int, int]) -> bool:
    """Whether height and width have the proportions of the input, up to one position."""
    return abs(size[1] - size[0] * frame[1] / frame[0]) <= 1


def possible_prefixes(module: nn.Module, tokens: int | None) -> tuple[int, ...]:
    """The possible numbers of tokens in front of those of the positions.

    Args:
        module: a network; timm's say the number (``num_prefix_tokens``), but some of their layers run before
            these tokens are added.
        tokens: the number, if the configuration says it.
    """
    if tokens is not None:
        return (tokens,)
    said = getattr(module, "num_prefix_tokens", 0)
    return tuple(dict.fromkeys((said if isinstance(said, int) else 0, 0, 1)))


def _grid(positions: int, frame: tuple[int, int]) -> tuple[int, int] | None:
    """Height and width of the grid with this number of positions; ``None`` if there is none."""
    if positions < 4:
        return None
    height = round((positions * frame[0] / frame[1]) ** 0.5)
    size = height, positions // max(height, 1)
    return size if size[0] * size[1] == positions and in_proportion(size, frame) else None
