"""Proof: the ledger, what it adds up to, its seals, and the report that an outsider can check."""
