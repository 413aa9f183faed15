"""Two small example strategies to read and operate. They are not made for profit."""
