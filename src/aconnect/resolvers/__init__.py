"""From an address to the endpoints that can be connected to."""
