"""`spcli`: ship Unreal Engine builds to Streampixel from a terminal or a CI job."""

__version__ = "0.1.0"
