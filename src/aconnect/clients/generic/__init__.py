"""What adapters have in common that are for several packages: httpx and httpcore by any name."""
