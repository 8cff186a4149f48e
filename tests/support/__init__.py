"""What tests are made of.  Fakes, not mocks; and real listeners wherever the kernel will."""
