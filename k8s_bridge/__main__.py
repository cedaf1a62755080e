"""`python -m synergai.k8s_bridge` is `synergai bridge`."""

import typer

from synergai.k8s_bridge.cli import bridge

typer.run(bridge)
