# expect: 2 strategy.path: module syntax_error cannot be imported: SyntaxError: expected ':' (syntax_error.py:2)
class Bad
    pass
