"""What happened in a dial, and what took the time."""
