"""Resource servers: ``pages`` lists, registers, disables them and changes secret and algorithm.

``traffic``: what an API has sent lately, what it loses without this server, and lines to copy for it.
"""
