"""What chapters train and score: a set, its parts, trainings, probes. A module a kind of study."""
