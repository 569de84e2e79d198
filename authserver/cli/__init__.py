"""The shell's door: ``flask <noun> <verb>``; thin commands over the verbs."""
