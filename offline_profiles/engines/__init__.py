"""Inference engines behind one small adapter: what `synergai profile` measures is what `synergai run` runs."""
