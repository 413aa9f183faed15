"""What the lab costs, as ratios to a yardstick measured in the same run."""
