"""`synergai run`: what the container of a pod executes. Imports little, as every pod waits for it."""
