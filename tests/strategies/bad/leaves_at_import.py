# expect: 2 strategy.path: leaves_at_import:Bad ends the process while it is loaded, with exit code 7
import os

os._exit(7)
