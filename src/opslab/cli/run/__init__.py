"""`tc run`: one module per group of commands."""
