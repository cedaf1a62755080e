"""`python -m synergai.k8s_bridge.warm`: compile what a bridge runs into numba's cache; a step of the image's build."""

from synergai.k8s_bridge.config import load_settings
from synergai.k8s_bridge.startup import load_scheduler, load_table, warm_up

CHOICES = (
    load_settings(),
    *(load_settings(checkpoint="demo", policy=policy) for policy in ("net", "net+plan")),
)
"""The default rule, and the released policy in each way to play it, with its guard and replays."""


def main() -> None:
    for settings in CHOICES:
        warm_up(load_table(settings), load_scheduler(settings), settings.replays)


if __name__ == "__main__":
    main()
