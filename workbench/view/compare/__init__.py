"""What training changed, shown."""
