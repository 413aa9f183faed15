# expect: 2 cannot be imported: EOFError: EOF when reading a line (asks_for_input_at_import.py:2)
ANSWER = input("how much? ")
