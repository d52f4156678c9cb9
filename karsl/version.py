"""The version, and nothing else, so that set-up reads it without importing the package."""

__version__ = "0.1.0"
