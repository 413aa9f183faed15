"""Cost of the lab, as ratios to a yardstick measured in the same run."""
