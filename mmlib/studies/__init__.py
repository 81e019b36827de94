"""What chapters share: their data, models, trainings, probes and tables, by their settings."""
