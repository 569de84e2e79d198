"""For the security team: signing keys, inventory of all credentials, audit trail."""
