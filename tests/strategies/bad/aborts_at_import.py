# expect: 2 strategy.path: aborts_at_import:Bad crashes the process while it is loaded, with SIGABRT
import os

os.abort()
