"""Exact nouns: frozen dataclasses, enums, Decimal and UTC. Imports nothing of ours."""
