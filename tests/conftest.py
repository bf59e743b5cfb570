"""What all tests need of the process that they run in."""

import signal
import threading

# A shell ignores Ctrl-C for what it starts in the background, and so would the tests that interrupt themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
