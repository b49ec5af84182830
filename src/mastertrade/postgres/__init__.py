"""The schema, how it is applied, and the PostgreSQL server MasterTrade brings along."""
