"""Builds: their lifecycle, waiting for them, which one is live, and what is known of them locally."""
