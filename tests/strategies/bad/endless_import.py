# expect: 2 strategy.path: endless_import:Bad is not loaded within 30 s
while True:
    pass
