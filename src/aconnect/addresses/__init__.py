"""What can be connected to: addresses as values, as text, and as what a call is given."""
