"""Usage reports of resource servers, which may be longer than any other request.

- ``endpoint``: POST usage. ``report``: reads the JSON of a report piece by piece, in bounded memory.
"""
