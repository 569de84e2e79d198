"""Usage reports of resource servers, whose bodies may be longer than any other request.

- ``endpoint``: POST usage. ``report``: parses the JSON of a report chunk by chunk, in bounded memory.
"""
