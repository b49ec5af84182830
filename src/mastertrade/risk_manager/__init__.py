"""Risk manager: judges every signal, sizes it, reserves its capital, and keeps the book of what is at risk."""
