"""Yardsticks and data generators: programs that run in processes of their own."""
