"""Files of every kind into the database: what a name says, what a row is, what becomes of a bad one."""
