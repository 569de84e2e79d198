"""The pure rules: idle timeout, role version, statuses, audit chain; and the state machine that stores match."""
