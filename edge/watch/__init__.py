"""What a watch is made of: where and when it looks, and how its answers become a state."""
