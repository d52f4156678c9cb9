"""Hooks that a run of ours has: what the loaders hold, epochs, checkpoints, going on after a kill, workers let go."""
