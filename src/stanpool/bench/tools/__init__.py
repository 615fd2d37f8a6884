"""What is compared: stanpool in its forms, and its peers."""
