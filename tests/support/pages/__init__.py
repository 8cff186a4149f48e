"""A small internet, for a process of its own, in which what the pages show is run."""
