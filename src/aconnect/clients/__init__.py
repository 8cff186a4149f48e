"""Other libraries' clients over connections of a dialer's: nothing but glue."""
