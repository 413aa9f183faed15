# strategy: {path: "function_for_class:bad"}
# expect: 2 strategy.path: class bad is not a class in module function_for_class; it has no class at all
def bad() -> None:
    pass
