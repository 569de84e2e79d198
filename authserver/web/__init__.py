"""People's doors: what Flask serves behind the machine doors."""
