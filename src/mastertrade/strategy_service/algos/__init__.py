"""Orders that are kept here and become others when their time comes."""
