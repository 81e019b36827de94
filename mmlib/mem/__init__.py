"""Unlearnable image-caption pairs: image noise, text triggers and their alternation."""
