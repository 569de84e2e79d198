"""Resource servers: register, regenerate the secret, choose the algorithm, disable and enable."""
