# expect: 2 strategy.path: module raises_at_import cannot be imported: ZeroDivisionError: division by zero (raises_at_import.py:2)
RATIO = 1 / 0
