"""The safety gate at start and the halt by the kill switch."""
