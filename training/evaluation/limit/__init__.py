"""How many deadlines nobody could have met: `synergai limit`."""
