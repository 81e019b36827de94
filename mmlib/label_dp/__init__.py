"""Label differential privacy: mechanisms, what they cost, exact small worlds, and an audit."""
