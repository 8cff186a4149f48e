"""What happens between connected and ready."""
