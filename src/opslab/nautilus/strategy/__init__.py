"""User strategies and scenarios under the order gate."""
