"""How long market data is kept: policies, archives in files, and the way back."""
