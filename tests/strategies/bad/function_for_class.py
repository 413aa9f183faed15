# strategy: {path: "function_for_class:bad"}
# expect: 2 strategy.path: class bad is not a class in module function_for_class; the module has no classes
def bad() -> None:
    pass
