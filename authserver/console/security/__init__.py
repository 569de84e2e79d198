"""For the security team.

``overview``: the front page, with ``charts`` of numbers over time and in classes.
``audit``: the trail with filters and export. ``inventory``: all credentials; ``inventory_disable``: several at once.
``webhooks``: where events are sent, and what became of each.
``signing_keys``: the time line of keys; ``key_actions``: rotate, retire, withdraw, compromise.
"""
