"""The kill switch: what its files mean, and what wins."""
