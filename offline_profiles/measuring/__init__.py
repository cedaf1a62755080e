"""`synergai profile`: measures what a machine does with a model, and writes the profiles that everything else reads."""
