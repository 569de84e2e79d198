"""Events out: webhooks, the outbox, leaks and mail."""
