"""UrbanOS Edge: a city's own air-quality network in one box."""

__version__ = "0.1.0"
