"""Helpers of the API tests: a real engine, a frame codec of its own, leak snapshots."""
