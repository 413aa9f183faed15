# expect: 2 cannot be imported: ModuleNotFoundError: No module named 'no_such_package' (imports_what_is_not_there.py:2)
import no_such_package  # noqa: F401
