"""Backups: all that a gateway is and knows in one encrypted file, and from that file onto a new card."""
