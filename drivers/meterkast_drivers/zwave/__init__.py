"""Z-Wave: meters, sensors and switches through a real zwave-js server."""
