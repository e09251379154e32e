"""Where preferences come from."""
