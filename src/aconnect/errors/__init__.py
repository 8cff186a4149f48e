"""What connecting raises, and the records that it carries."""
