"""What the users of an event loop program with: transports, protocols and streams."""
