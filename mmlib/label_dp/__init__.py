"""Label differential privacy: mechanisms, their cost, releases, small worlds, audit, attacks."""
