"""Begin from a context that was trained with other entropy models, or on other base weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from licframe.model.interfaces import EntropyModel, ParameterAxis
from licframe.model.latent_model import LatentModel


@torch.no_grad()
def transfer_context(
    model: LatentModel, state: Mapping[str, Tensor], models: Sequence[EntropyModel]
) -> bool:
    """Fill a codec's scheduler from the trained state of another of its class, where the sizes are equal.

    The entropy models may differ: each parameter begins as the old one of its kind (the first, if there are several),
    apart by the models' initial biases; what the old models lacked begins at its initial bias.

    Args:
        state: the other's ``state_dict``; models: its entropy models.

    Returns:
        Whether it fitted; if not, nothing has changed.
    """
    own, axes = model.scheduler.state_dict(), model.scheduler.parameter_axes()
    if state.keys() != own.keys():
        return False
    made = {}
    for name, value in own.items():
        made[name] = state[name].to(value.dtype)
        at = axes.get(name)
        if at is not None:
            old = models[min(at.pass_index, len(models) - 1)]
            new = cast("EntropyModel", model.entropy_models[at.pass_index])
            if old.kinds != new.kinds:
                if made[name].shape[at.axis] % (at.groups * len(old.kinds)):
                    return False
                made[name] = _rearranged(made[name], at, old, new)
        if made[name].shape != value.shape:
            return False
    model.scheduler.load_state_dict(made)
    return True


def _rearranged(tensor: Tensor, at: ParameterAxis, old: EntropyModel, new: EntropyModel) -> Tensor:
    parts = tensor.unflatten(at.axis, (at.groups, len(old.kinds), -1)).unbind(at.axis + 1)
    columns = []
    for kind, bias in zip(new.kinds, new.initial_bias, strict=True):
        if kind in old.kinds:
            which = old.kinds.index(kind)
            column, shift = parts[which], bias - old.initial_bias[which]
        else:
            column, shift = torch.zeros_like(parts[0]), bias
        columns.append(column + shift if at.table else column)
    return torch.stack(columns, at.axis + 1).flatten(at.axis, at.axis + 2)
