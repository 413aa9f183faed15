# expect: 2 cannot be imported: ValueError: long long
# expect: 2 long \ud800 (raises_what_is_no_text_at_import.py:3)
raise ValueError("long " * 1_000_000 + "\ud800")
