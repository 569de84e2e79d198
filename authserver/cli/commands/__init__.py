"""The commands, one module a noun: ``flask <noun> <verb>``. Each parses, calls one action and prints."""
