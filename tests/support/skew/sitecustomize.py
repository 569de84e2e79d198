"""Puts the clock of a whole process, and of the processes it starts, off by ``TEST_SKEW`` seconds."""

import os
import time

_real, _skew = time.time, float(os.environ.get("TEST_SKEW", "0"))
time.time = lambda: _real() + _skew
