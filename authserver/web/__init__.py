"""People's doors: what Flask serves behind the machine doors. ``console`` is the web console."""
