"""What the errnos of connect(2) and the codes of getaddrinfo(3) mean, in plain words."""
