"""The product, free of any screen; imports nothing, so that each room stands alone."""

__version__ = "0.1.0"
