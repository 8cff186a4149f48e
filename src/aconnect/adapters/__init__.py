"""From an address to what programs work with: transports, streams and clients."""
