"""One dial: from an address to a connected socket."""
