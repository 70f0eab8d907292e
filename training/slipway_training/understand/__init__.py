"""Looking into a checkpoint: what its layers predict, hold, need and cost."""
