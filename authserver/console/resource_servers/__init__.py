"""Resource servers: ``pages`` lists, registers, disables them and changes secret and algorithm."""
