"""The candidate scorer as a policy of sb3-contrib's MaskablePPO."""

from typing import Any

import numpy as np
import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule

from synergai.training.network import Actor, Critic, Packed


class ScorerPolicy(MaskableActorCriticPolicy):
    """Actor and critic share nothing, so that a cloned actor can wait for its critic."""

    def __init__(self, *args: Any, width: int = 64, without: str = "", **kwargs: Any) -> None:
        self.width, self.without = width, without
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.actor = Actor(self.width, self.without)
        self.critic = Critic(self.width)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1), eps=1e-5)

    def forward(
        self, obs: Any, deterministic: bool = False, action_masks: np.ndarray | torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        packed = Packed(obs)
        logits = masked_log_softmax(self.actor(packed), action_masks)
        actions = logits.argmax(dim=1) if deterministic else sample(logits)
        return actions, self.critic(packed)[:, None], logits.gather(1, actions[:, None])[:, 0]

    def evaluate_actions(
        self, obs: Any, actions: torch.Tensor, action_masks: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        packed = Packed(obs)
        logits = masked_log_softmax(self.actor(packed), action_masks)
        chosen = logits.gather(1, actions.long().reshape(-1, 1))[:, 0]
        entropy = -(logits.exp() * logits.clamp(min=-50.0)).sum(dim=1)
        return self.critic(packed)[:, None], chosen, entropy

    def predict_values(self, obs: Any) -> torch.Tensor:
        return self.critic(Packed(obs))[:, None]


def masked_log_softmax(logits: torch.Tensor, masks: np.ndarray | torch.Tensor | None) -> torch.Tensor:
    """Log-probabilities; what is masked gets none."""
    if masks is not None:
        allowed = torch.as_tensor(masks, dtype=torch.bool).reshape(logits.shape)
        logits = logits.masked_fill(~allowed, -1e9)
    return torch.log_softmax(logits, dim=1)


def sample(log_probabilities: torch.Tensor) -> torch.Tensor:
    """One action each, by the Gumbel trick: a masked action is never drawn."""
    noise = -torch.log(-torch.log(torch.rand_like(log_probabilities).clamp(1e-20, 1 - 1e-7)))
    return (log_probabilities + noise).argmax(dim=1)
