"""Figures of speed: `synergai bench NAME` measures one afresh and prints it as a JSON line."""
