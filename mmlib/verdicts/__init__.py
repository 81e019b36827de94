"""What records say to the papers: orderings of metrics, items beside their numbers, claims."""
