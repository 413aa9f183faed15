# expect: 2 strategy.path: crashes_at_import:Bad crashes the process while it is loaded, with SIGSEGV
import ctypes

ctypes.string_at(0)
