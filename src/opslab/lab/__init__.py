"""Operations of the commands: one module a noun, functions of a context. `cli/<noun>` imports `lab/<noun>` alone.

A command imports the module of its noun when it runs. What that module imports at its top is what every command of the
noun needs; the rest is imported by the function that needs it.
"""
