"""Measures the real server beside others, in one run and in turn: ``python -m bench --help``.

- ``machine``: cores, memory and processor time, as the kernel counts them.
- ``load_generator``: the HTTP load, by ``wrk`` where there is one, else in Python. ``requests``: what it sends;
  ``signed_requests``: those that are good once.
- ``server_process``: starts a server as production does and waits for it.
- ``authserver_under_test``, ``peers``: what is measured, and what it is compared with.
- ``dataset``, ``scale``: users, credentials, sessions and audit records to measure with.
- ``sweep``: how fast sessions are deleted that ended long ago.
- ``cases``: one case is one request against one server on one database. ``console_pages``: the same for pages.
- ``fleet``: many verifiers in front of the server, simulated from what each request costs it.
- ``verifiers``: what resource servers install, beside asking about each call.
- ``runner``: measures the cases in turn, round by round. ``figures``: medians, ratios and what they should reach.
"""
