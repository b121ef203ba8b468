"""The ground: values and rules, without clock, store or network."""
