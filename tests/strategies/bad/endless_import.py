# expect: 2 strategy.path: endless_import:Bad is not loaded within 10 s
while True:
    pass
