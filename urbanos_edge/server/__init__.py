"""From sockets to the app: `server` listens, `protocol` is one connection, `systemd` what the
service manager hands over and hears.
"""
