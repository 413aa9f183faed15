"""Two small strategies, made to be read and operated. They have nothing to win."""
