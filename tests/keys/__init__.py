"""The key ring, key stores, rotation, import and the watch over published keys."""
