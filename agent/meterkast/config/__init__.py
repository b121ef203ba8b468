"""The configuration: one TOML file into frozen, checked values."""
