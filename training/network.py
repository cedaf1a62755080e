"""The scorer of `agents.scorer` in torch, for a batch of candidate lists, and the critic beside it."""

import numpy as np
import torch
from numba import njit
from torch import nn
from torch.nn.functional import embedding_bag

from synergai.agents import scorer
from synergai.envs.candidates import MAX_CANDIDATES, N_RULES
from synergai.envs.features import CANDIDATE, ENERGY_WEIGHT, FIRST_PICK, JOB, N_CANDIDATE, N_GLOBAL, N_ROW

HISTORY = [
    k
    for k, feature in enumerate(CANDIDATE + JOB)
    if feature.name.startswith("seen_") or feature.name in ("drift", "confidence", "job_chance")
]
"""Features of a row that come from what was seen of runs."""


class Groups:
    """Which rows belong together: `of` (rows,), the group of each; as many as `count`."""

    def __init__(self, of: torch.Tensor, count: int) -> None:
        self.of, self.count = of, count
        sizes = torch.zeros(count).index_add_(0, of, torch.ones(len(of)))
        self._scale = 1.0 / sizes.clamp_(min=1.0)[:, None]

    def mean(self, embedded: torch.Tensor) -> torch.Tensor:
        """(rows, H) -> (groups, H); an empty group gives zeros."""
        return torch.zeros(self.count, embedded.shape[1]).index_add(0, self.of, embedded).mul_(self._scale)

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Each row's own group's. (groups, H) -> (rows, H)"""
        return values.index_select(
            0, self.of
        )  # its gradient is several times as fast as that of values[self.of]


class Trunk(nn.Module):
    """Embeddings of all real candidates of a batch, packed, and their pool over each list."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.row = nn.Linear(N_ROW, width)
        self.shared = nn.Linear(N_GLOBAL, width, bias=False)

    def forward(self, batch: "Packed") -> torch.Tensor:
        return torch.relu(self.row(batch.rows) + batch.lists.spread(self.shared(batch.shared)))


class Actor(nn.Module):
    """Logits of all 129 actions; see `agents.scorer` for the shape of the network."""

    def __init__(self, width: int, without: str = "") -> None:
        super().__init__()
        self.trunk = Trunk(width)
        self.own = nn.Linear(width, width)
        self.pool_all = nn.Linear(2 * width, width, bias=False)
        self.pool_job = nn.Linear(width, width, bias=False)
        self.pool_class = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, 1, bias=False)
        self.done = nn.Linear(2 * width, width)
        self.done_shared = nn.Linear(N_GLOBAL, width, bias=False)
        self.done_out = nn.Linear(width, 1, bias=False)
        self.offsets = nn.Parameter(torch.zeros(2))
        self.prior = nn.Parameter(torch.zeros(N_RULES))
        with torch.no_grad():  # a weight that training never shows must not count
            self.trunk.shared.weight[:, ENERGY_WEIGHT] = 0.0
            self.done_shared.weight[:, ENERGY_WEIGHT] = 0.0
        self._held = self._left_out(without)
        for parameter, kept in self._held:
            parameter.register_hook(lambda gradient, kept=kept: gradient * kept)
        self._hold()

    def _left_out(self, part: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Parameters of a part that is left out (`TrainConfig.without`), and 1 for what of their last axis is kept."""
        row, pools = self.trunk.row.weight, (self.pool_job.weight, self.pool_class.weight)
        columns: dict[str, list[tuple[torch.Tensor, list[int]]]] = {
            "picks": [(row, list(range(FIRST_PICK, N_CANDIDATE)))],
            "history": [(row, HISTORY)],
            "residual": [(self.prior, list(range(N_RULES)))],
            "pools": [(weight, list(range(weight.shape[-1]))) for weight in pools],
        }
        return [(weight, _all_but(weight.shape[-1], out)) for weight, out in columns.get(part, [])]

    @torch.no_grad()
    def _hold(self) -> None:
        """What is left out is 0, and no gradient moves it."""
        for parameter, kept in self._held:
            parameter.mul_(kept)

    def forward(self, batch: "Packed") -> torch.Tensor:
        embedded = self.trunk(batch)
        whole = batch.pool(embedded)
        by_job = batch.jobs.spread(self.pool_job(batch.jobs.mean(embedded)))
        by_class = batch.classes.spread(self.pool_class(batch.classes.mean(embedded)))
        of_all = batch.lists.spread(self.pool_all(whole))
        hidden = torch.relu(self.own(embedded) + of_all + by_job + by_class)
        logits = torch.full((batch.lists.count, MAX_CANDIDATES + 1), -1e9)
        picked = batch.rows[:, FIRST_PICK:N_CANDIDATE]
        scores = self.out(hidden)[:, 0] + self.offsets[0] + picked @ self.prior
        done = (
            self.done_out(torch.relu(self.done(whole) + self.done_shared(batch.shared)))[:, 0]
            + self.offsets[1]
            + (1.0 - batch.picked) @ self.prior
        )
        logits = logits.index_put((batch.lists.of, batch.place), scores)
        return torch.cat([logits[:, :MAX_CANDIDATES], done[:, None]], dim=1)

    def weights(self) -> dict[str, torch.Tensor]:
        """The parameters under the names, and in the shapes, of `agents.scorer.Weights`."""
        wanted = scorer.shapes(self.own.in_features)
        return {
            name: (own.T if own.dim() == 2 else own).reshape(wanted[name]).detach().contiguous().float()
            for name, own in self._parameters_by_name().items()
        }

    def _parameters_by_name(self) -> dict[str, torch.Tensor]:
        return {
            "row": self.trunk.row.weight,
            "shared": self.trunk.shared.weight,
            "bias": self.trunk.row.bias,
            "own": self.own.weight,
            "pool_all": self.pool_all.weight,
            "pool_job": self.pool_job.weight,
            "pool_class": self.pool_class.weight,
            "bias2": self.own.bias,
            "out": self.out.weight,
            "done": self.done.weight,
            "done_shared": self.done_shared.weight,
            "done_bias": self.done.bias,
            "done_out": self.done_out.weight,
            "offsets": self.offsets,
            "prior": self.prior,
        }

    @torch.no_grad()
    def take(self, weights: scorer.Weights) -> None:
        """Become the network with these weights. ValueError if it has another width."""
        if len(weights.bias) != self.own.in_features:
            raise ValueError(f"its width is {len(weights.bias)}, not {self.own.in_features}")
        for name, own in self._parameters_by_name().items():
            given = torch.as_tensor(getattr(weights, name))
            own.copy_(given.T if own.dim() == 2 and own.shape[0] != 1 else given.reshape(own.shape))
        self._hold()


def _all_but(size: int, columns: list[int]) -> torch.Tensor:
    """1, and 0 in these columns. (size,)"""
    kept = torch.ones(size)
    kept[columns] = 0.0
    return kept


class Critic(nn.Module):
    """v in V = potential + v: what the state is worth beyond each job's own best chance; zero at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(width)
        self.hidden = nn.Linear(2 * width + N_GLOBAL, width)
        self.out = nn.Linear(width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, batch: "Packed") -> torch.Tensor:
        whole = torch.cat([batch.pool(self.trunk(batch)), batch.shared], dim=1)
        return self.out(torch.relu(self.hidden(whole)))[:, 0]


class Packed:
    """A batch of observations with only the real candidates, and who belongs together."""

    def __init__(self, observations: dict[str, torch.Tensor]) -> None:
        counts = observations["count"].reshape(-1).long()
        real = torch.arange(MAX_CANDIDATES)[None, :] < counts[:, None]
        sample, self.place = torch.nonzero(real, as_tuple=True)
        self.rows = observations["rows"][real].float()
        self.shared = observations["shared"].float()
        self.lists = Groups(sample, len(counts))
        self.jobs = _numbered(observations["job"][real], counts)
        self.classes = _numbered(observations["klass"][real], counts)
        self.picked = torch.zeros(len(counts), N_RULES)
        """1 where the rule's pick is one of the list's candidates."""
        self.picked.index_add_(0, sample, self.rows[:, FIRST_PICK:N_CANDIDATE])
        self._every = torch.arange(len(sample))
        self._first = counts.cumsum(0) - counts

    def pool(self, embedded: torch.Tensor) -> torch.Tensor:
        """Mean and maximum of each list's embeddings, which are not negative; zeros where it is empty.
        (rows, H) -> (lists, 2 H)"""
        most = embedding_bag(self._every, embedded, self._first, mode="max")
        return torch.cat([self.lists.mean(embedded), most], dim=1)


def _numbered(keys: torch.Tensor, counts: torch.Tensor) -> Groups:
    """Groups of equal keys within one list, numbered over the batch from 0."""
    groups = np.empty(len(keys), np.int64)
    return Groups(torch.from_numpy(groups), int(_number(keys.numpy(), counts.numpy(), groups)))


@njit(cache=True)
def _number(keys: np.ndarray, counts: np.ndarray, groups: np.ndarray) -> int:
    """Fill in each key's group; returns how many there are. Lists are short: a look at all before is fast enough."""
    first, found = 0, 0
    for count in counts:
        for i in range(first, first + count):
            groups[i] = -1
            for k in range(first, i):
                if keys[k] == keys[i]:
                    groups[i] = groups[k]
                    break
            if groups[i] < 0:
                groups[i] = found
                found += 1
        first += count
    return found
