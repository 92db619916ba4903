"""HTTPS: `authority` is the box's own, `tls` its certificate."""
