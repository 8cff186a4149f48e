"""The same for clients that have no event loop: they connect by `aconnect.blocking`."""
