"""`synergai explain` and `synergai queue`: what the bridge did and what waits, for people."""
