"""What is said to proxies, between connected and ready."""
