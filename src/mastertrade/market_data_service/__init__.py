"""Takes candles in from files, simulators and venues, stores each once, and tells the others that they closed."""
