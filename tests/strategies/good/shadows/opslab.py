raise ImportError("a module of the spec folder in the place of another")
