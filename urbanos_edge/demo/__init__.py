"""The demonstration: `fleet` says what its sensors measure, `reporting` sends it."""
