"""Settles what a model file leaves open of its inputs: the batch, and what the store says of one sample."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from synergai.offline_profiles.engines.engine import EngineError

Dims = Sequence[int | str | None]
"""Of one input as the file states them; a text or None is open."""


def settle(
    model: Path, inputs: Mapping[str, Dims], shapes: Mapping[str, Sequence[int]], batch: int
) -> dict[str, tuple[int, ...]]:
    """The whole shape of each input, the batch in front. EngineError names the input that does not work out."""
    for name in shapes:
        if name not in inputs:
            raise EngineError(f"{model}: has no input {name!r}; its inputs are {', '.join(inputs)}")
    return {name: _settled(model, name, dims, shapes.get(name), batch) for name, dims in inputs.items()}


def _settled(model: Path, name: str, dims: Dims, sample: Sequence[int] | None, batch: int) -> tuple[int, ...]:
    if not dims:
        return ()
    if isinstance(dims[0], int) and dims[0] != batch:
        raise EngineError(f"{model}: input {name!r} has a batch of {dims[0]} only, not {batch}")
    if sample is None:
        if any(not isinstance(one, int) for one in dims[1:]):
            raise EngineError(
                f"{model}: input {name!r} is {_shown(dims)}; say in shapes.yaml what it is without the batch, "
                f"as `{name}: [{', '.join('?' if not isinstance(one, int) else str(one) for one in dims[1:])}]`"
            )
        sample = [one for one in dims[1:] if isinstance(one, int)]
    fits = len(sample) == len(dims) - 1 and all(
        not isinstance(given, int) or given == wanted for given, wanted in zip(dims[1:], sample)
    )
    if not fits:
        raise EngineError(f"{model}: input {name!r} is {_shown(dims)}, to which {list(sample)} does not fit")
    return (batch, *sample)


def _shown(dims: Dims) -> str:
    return "[" + ", ".join(str(one) if isinstance(one, int) else "?" for one in dims) + "]"
