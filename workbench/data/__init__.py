"""Where preference pairs come from: worlds with a known reward, shipped pairs, a person's file."""
