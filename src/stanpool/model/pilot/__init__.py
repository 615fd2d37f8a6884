"""Quick estimates: where chains start, and how far groups are centered."""
