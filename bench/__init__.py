"""Measures the real server beside others, in one run and in turn: ``python -m bench --help``.

- ``machine``: cores, memory and processor time, as the kernel counts them.
- ``load``: the HTTP load, by ``wrk`` where there is one, else in Python.
- ``running``: starts a server as production does and waits for it.
- ``ours``, ``peers``: what is measured, and what it is compared with.
- ``cells``: one cell is one request against one server on one database.
- ``rounds``: measures the cells in turn, round by round.
- ``figures``: medians, ratios and what they should reach.
"""
