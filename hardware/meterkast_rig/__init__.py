"""The rig: everything outside the gateway, simulated, for the demo, the tests and integrators."""
